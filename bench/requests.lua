-- Sends a thread's own requests over its one connection, one after another, and looks at every
-- answer. Says on standard error when the last one has come; whoever runs this ends it then.

local threads = 0

-- Each thread has a state of its own; `number` is its name there.
function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

function init(args)
  requests, needles, answered, right = {}, {}, 0, 0
  local headers = { ["Authorization"] = args[2], ["Content-Type"] = "application/json" }
  for line in io.lines(args[1] .. "/" .. number) do
    local method, path, needle, body = line:match("^(%S+)\t(%S+)\t([^\t]*)\t(.*)$")
    requests[#requests + 1] = wrk.format(method, path, headers, body ~= "" and body or nil)
    needles[#needles + 1] = needle
  end
end

-- The same until it is answered: the first one is also asked for before anything is sent.
function request()
  return requests[math.min(answered + 1, #requests)]
end

function response(status, headers, body)
  answered = answered + 1
  if status == 200 and body:find(needles[answered], 1, true) then
    right = right + 1
  end
  if answered == #requests then
    io.stderr:write("answered " .. right .. "\n")
    io.stderr:flush()
    wrk.thread:stop()
  end
end

function done(summary, latency, _)
  local times = {}
  for each = 1, 1000 do
    times[each] = string.format("%d", latency:percentile(math.min(each / 10, 99.999)))
  end
  times[1000] = string.format("%d", latency.max)
  io.stderr:write("took " .. summary.duration .. "\ntimes " .. table.concat(times, " ") .. "\n")
end
