// The journey of the SDKs for Node, by a process of its own.
//
//     node node_journey.cjs {segment|rudder|classic} HOST WRITE_KEY [HOST WRITE_KEY …]
//
// All three take the same messages. Each host is sent to by a client of its own, all at once; the
// process ends when nothing is waiting any more, and with 1 if something was given up.

"use strict";

// Each returns a client and what sends the rest.
const SDKS = {
  segment(host, writeKey) {
    const { Analytics } = require("@segment/analytics-node");
    const client = new Analytics({ host, writeKey });
    client.on("error", giveUp);
    return [client, () => client.closeAndFlush({ timeout: 120_000 })];
  },
  rudder(host, writeKey) {
    const Analytics = require("@rudderstack/rudder-sdk-node");
    const client = new (Analytics.default ?? Analytics)(writeKey, { dataPlaneUrl: host });
    return [client, () => client.flush()];
  },
  classic(host, writeKey) {
    const Analytics = require("analytics-node");
    const client = new Analytics(writeKey, { host });
    return [client, () => client.flush()];
  },
};

function giveUp(error) {
  console.error(error);
  process.exitCode = 1;
}

function travel(client) {
  client.identify({
    userId: "person-1",
    traits: { email: "person-1@example.com", score: 1.5, tags: ["a"] },
  });
  client.track({ userId: "person-1", event: "Order Completed", properties: { total: 12.5 } });
  client.page({ userId: "person-1", category: "Docs", name: "Home", properties: { path: "/" } });
  client.screen({
    userId: "person-1",
    category: "App",
    name: "Settings",
    properties: { dark: true },
  });
  client.group({
    userId: "person-1",
    groupId: "company-1",
    traits: { name: "Ünify", employees: 7 },
  });
  client.track({ anonymousId: "before-1", event: "Came Before" });
  client.alias({ previousId: "before-1", userId: "person-1" });
}

const [sdk, ...where] = process.argv.slice(2);
process.on("unhandledRejection", giveUp);
for (let at = 0; at < where.length; at += 2) {
  const [client, finish] = SDKS[sdk](where[at], where[at + 1]);
  travel(client);
  Promise.resolve(finish()).catch(giveUp);
}
