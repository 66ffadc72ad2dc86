// A client on a flaky network: it gives up in time, and works again as soon as the network does.
import assert from "node:assert/strict";
import net from "node:net";
import { after, before, test } from "node:test";
import { Toxiproxy } from "toxiproxy-node-client";

const { FAULTS_API = "127.0.0.1:8474", REDIS = "127.0.0.1:6379" } = process.env;
let proxy;
before(async () => (proxy = await new Toxiproxy(`http://${FAULTS_API}`).createProxy({ name: "redis", listen: "127.0.0.1:0", upstream: REDIS })));
after(() => proxy.remove());

const ping = () => new Promise((resolve, reject) => {
  const [host, port] = proxy.listen.split(":");
  const client = net.connect({ host, port }, () => client.write("PING\r\n"));
  client.setTimeout(300, () => client.destroy(new Error("too slow")));
  client.on("error", reject).on("data", (answer) => resolve(String(answer)) ?? client.end());
});

for (const [type, attributes, error] of [["latency", { latency: 500 }, /too slow/], ["reset_peer", {}, /ECONNRESET/]])
  test(`a flaky network: ${type}`, async () => {
    const toxic = await proxy.addToxic({ type, attributes });
    await assert.rejects(ping(), error);
    await toxic.remove();
    assert.equal(await ping(), "+PONG\r\n");
  });
