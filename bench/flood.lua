-- Sends batches of one space as fast as they are answered, whatever the answer is.

local threads = 0

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

function init(args)
  sent = 0
  prefix, size = args[2], tonumber(args[3])
  headers = { ["Authorization"] = args[1], ["Content-Type"] = "application/json" }
end

function request()
  local events = {}
  for each = 1, size do
    sent = sent + 1
    local name = prefix .. number .. "-" .. sent
    events[each] = '{"type":"track","event":"Seen","messageId":"' .. name
      .. '","userId":"u-' .. sent % 1000 .. '","properties":{"padding":"'
      .. string.rep("x", 400) .. '"}}'
  end
  return wrk.format("POST", "/v1/batch", headers, '{"batch":[' .. table.concat(events, ",") .. "]}")
end
