// toxiproxy-node-client against `switchboard faults`, with traffic from the client's side.
//
//     library.mjs API ECHO CHECK      (ADDRESS:PORT of the API, of an echo, and the name of a check below)
//
// Each check has a proxy of its own, in front of the echo, and deletes it. What is to be late may not be early.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import net from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { Toxiproxy, ToxiproxyError } from "toxiproxy-node-client";

const LATE_MS = 500;
const LIMIT_MS = 10_000;
const [api, echo, name] = process.argv.slice(2);
const server = new Toxiproxy(`http://${api}`);
// Every kind that the library has a type for, with all of its attributes.
const KINDS = {
  latency: { latency: 20, jitter: 5 },
  bandwidth: { rate: 1000 },
  slow_close: { delay: 10 },
  timeout: { timeout: 20 },
  slicer: { average_size: 100, size_variation: 10, delay: 5 },
  limit_data: { bytes: 4000 },
  reset_peer: { timeout: 30 },
};

const toxic = (type, stream, attributes, more = {}) => ({ name: `${type}_${stream}`, type, stream, toxicity: 1, attributes, ...more });

// proxied(TOXICS, BODY): BODY with a proxy in front of the echo that has these toxics.
async function proxied(toxics, body) {
  const proxy = await server.createProxy({ name: `node-${process.pid}`, listen: "127.0.0.1:0", upstream: echo });
  try {
    for (const one of toxics) await proxy.addToxic(one);
    return await body(proxy);
  } finally {
    await proxy.remove();
  }
}

const withLatency = (latency, body) => proxied([toxic("latency", "downstream", { latency, jitter: 0 })], body);

// A connection: what came, whether it ended, and the error if there was one.
async function connect(proxy) {
  const [host, port] = proxy.listen.split(":");
  const socket = net.connect({ host, port: Number(port), noDelay: true, allowHalfOpen: true });
  const client = { socket, received: Buffer.alloc(0), ended: false, error: null, changed: () => {} };
  socket.on("data", (piece) => { client.received = Buffer.concat([client.received, piece]); client.changed(); });
  socket.on("end", () => { client.ended = true; client.changed(); });
  socket.on("error", (error) => { client.error = error; client.changed(); });
  await new Promise((resolve, reject) => { socket.once("connect", resolve); socket.once("error", reject); });
  return client;
}

// until(CLIENT, WHAT): waits until WHAT holds of it.
async function until(client, what) {
  const end = Date.now() + LIMIT_MS;
  while (!what(client)) {
    assert(Date.now() < end, `not within ${LIMIT_MS} ms: ${what}`);
    await Promise.race([new Promise((resolve) => { client.changed = resolve; }), sleep(end - Date.now(), null, { ref: false })]);
  }
}

async function echoed(client, data = Buffer.from("ping")) {
  client.received = Buffer.alloc(0);
  client.socket.write(data);
  await until(client, () => client.received.length >= data.length || client.ended || client.error);
  assert(client.received.equals(data), client.error?.code ?? `${client.received.length} bytes`);
}

async function takes(ms, body, late = LATE_MS) {
  const begin = performance.now();
  await body();
  const took = performance.now() - begin;
  console.log(`${took.toFixed(1)} ms for ${ms} ms`);
  // A timer of Node may be half a millisecond early; the clock is not.
  assert(took >= ms && took < ms + late, `${took} ms for ${ms} ms`);
}

const refused = (proxy) => assert.rejects(connect(proxy), { code: "ECONNREFUSED" });
const fails = (status, call) =>
  assert.rejects(call, (error) => error instanceof ToxiproxyError && error.message.endsWith(`status code ${status}`));

async function talk(toxics, body) {
  await proxied(toxics, async (proxy) => {
    const client = await connect(proxy);
    try { await body(client, proxy); } finally { client.socket.destroy(); }
  });
}

const checks = {
  async proxies() {
    await proxied([], async (proxy) => {
      assert.match(proxy.listen, /^127\.0\.0\.1:\d+$/);
      assert.deepEqual([proxy.upstream, proxy.enabled], [echo, true]);
      assert.equal((await server.get(proxy.name)).listen, proxy.listen);
      assert.equal((await server.getAll())[proxy.name].upstream, echo);
      const client = await connect(proxy);
      await echoed(client, randomBytes(1 << 20));
      // The whole of it is sent back, as the types ask for. Nothing changes: its sessions live on.
      const { listen, upstream } = proxy;
      await proxy.update({ enabled: true, listen: listen.replace("127.0.0.1", "localhost"), upstream });
      await echoed(client);
      const off = await proxy.update({ enabled: false, listen, upstream });
      assert.deepEqual([off.enabled, off.listen], [false, listen]);
      await until(client, () => client.ended || client.error);
      await refused(proxy);
      const on = await off.update({ enabled: true, listen, upstream });
      assert.deepEqual([on.enabled, on.listen], [true, listen]);
      (await connect(on)).socket.destroy();
      const moved = await on.update({ enabled: true, listen: "localhost:0", upstream });
      assert.match(moved.listen, /^127\.0\.0\.1:[1-9]/);
      assert.notEqual(moved.listen, listen);
      await refused(proxy);
      (await connect(moved)).socket.destroy();
    });
  },

  async populate() {
    const bound = net.createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => bound.once("listening", resolve));
    const listen = `127.0.0.1:${bound.address().port}`;
    await new Promise((resolve) => bound.close(resolve));
    const entries = [{ name: "one", listen, upstream: echo }, { name: "two", listen: "127.0.0.1:0", upstream: echo, enabled: false }];
    const first = await server.populate(entries);
    assert.deepEqual(Object.keys(first), ["one", "two"]);
    assert.deepEqual([first.one.listen, first.one.enabled, first.two.enabled], [listen, true, false]);
    const client = await connect(first.one);
    await first.one.addToxic(toxic("noop", "downstream", {}));
    const again = await server.populate(entries.slice(0, 1));
    assert.equal(again.one.listen, listen);
    await echoed(client);
    assert.equal((await again.one.getToxic("noop_downstream")).type, "noop", "an equal one keeps its toxics");
    client.socket.destroy();
    assert.deepEqual(await server.populate([]), {});
    await fails(400, server.populate([{ name: "three", listen: "127.0.0.1:0" }]));
    for (const proxy of Object.values(first)) await proxy.remove();
  },

  async toxics() {
    await proxied([], async (proxy) => {
      for (const [type, attributes] of Object.entries(KINDS)) {
        for (const stream of ["upstream", "downstream"]) {
          const made = await proxy.addToxic(toxic(type, stream, attributes, { toxicity: 0.2 }));
          assert.deepEqual(made.toJson(), toxic(type, stream, attributes, { toxicity: 0.2 }));
          assert.deepEqual((await proxy.getToxic(made.name)).toJson(), made.toJson());
        }
      }
      const latency = await proxy.getToxic("latency_downstream");
      const body = { ...latency.toJson(), attributes: { latency: 7 }, toxicity: 0 };
      const updated = await latency.update(body);
      assert.deepEqual(updated.toJson(), { ...body, attributes: { latency: 7, jitter: 5 } }, "an update merges");
      for (const type of Object.keys(KINDS)) {
        for (const stream of ["upstream", "downstream"]) await (await proxy.getToxic(`${type}_${stream}`)).remove();
      }
      await fails(404, proxy.getToxic("latency_downstream"));
    });
  },

  async errors() {
    await proxied([toxic("noop", "downstream", {})], async (proxy) => {
      const body = { name: proxy.name, listen: "127.0.0.1:0", upstream: echo };
      await fails(409, server.createProxy(body));
      await fails(400, server.createProxy({ ...body, name: "" }));
      await fails(400, server.createProxy({ ...body, name: "x", upstream: undefined }));
      await fails(500, server.createProxy({ ...body, name: "x", listen: proxy.listen }));
      await fails(500, server.createProxy({ ...body, name: "x", listen: "nonsense" }));
      await fails(404, server.get("x"));
      await fails(409, proxy.addToxic(toxic("noop", "downstream", {})));
      await fails(400, proxy.addToxic(toxic("down", "downstream", {})));
      await fails(400, proxy.addToxic(toxic("latency", "sideways", {})));
      await fails(400, proxy.addToxic(toxic("latency", "upstream", { latency: 1.5 })));
      await fails(400, proxy.addToxic(toxic("latency", "upstream", { latency: -1 })));
      await fails(404, proxy.getToxic("x"));
    });
  },

  latency: () => withLatency(200, async (proxy) => {
    const client = await connect(proxy);
    for (let round = 0; round < 3; round++) await takes(200, () => echoed(client));
    await (await proxy.getToxic("latency_downstream")).remove();
    await takes(0, () => echoed(client), 200);
    client.socket.destroy();
  }),

  bandwidth: () => talk([toxic("bandwidth", "upstream", { rate: 200 })], async (client) => {
    // A burst of 10 ms may come at once.
    await takes(475, () => echoed(client, randomBytes(100_000)));
  }),

  timeout: () => talk([toxic("timeout", "downstream", { timeout: 200 })], async (client) => {
    await takes(200, async () => {
      client.socket.write("swallowed");
      await until(client, () => client.ended || client.error);
    });
    assert.deepEqual([client.error, client.received.length], [null, 0]);
  }),

  limit_data: () => talk([toxic("limit_data", "downstream", { bytes: 1000 })], async (client) => {
    client.socket.write(Buffer.alloc(5000));
    await until(client, () => client.ended || client.error);
    assert.deepEqual([client.error, client.received.length], [null, 1000]);
  }),

  reset_peer: () => talk([toxic("reset_peer", "downstream", { timeout: 100 })], async (client) => {
    await takes(100, async () => {
      client.socket.write("x");
      await until(client, () => client.ended || client.error);
    });
    assert.equal(client.error?.code, "ECONNRESET");
  }),

  slow_close: () => talk([toxic("slow_close", "downstream", { delay: 300 })], async (client) => {
    await takes(0, () => echoed(client), 250);
    await takes(300, async () => {
      client.socket.end();
      await until(client, () => client.ended);
    });
  }),

  slicer: () => talk([toxic("slicer", "downstream", { average_size: 50, size_variation: 0, delay: 1000 })], async (client) => {
    // At least 100 slices, each followed by a millisecond.
    await takes(95, () => echoed(client, randomBytes(5000)), 2000);
  }),

  half_close: () => talk([toxic("latency", "upstream", { latency: 50, jitter: 0 }), toxic("bandwidth", "downstream", { rate: 1000 })],
    async (client) => {
      const data = randomBytes(100_000);
      client.socket.end(data);
      await until(client, () => client.ended || client.error);
      assert(client.received.equals(data), `${client.received.length} bytes, ${client.error}`);
    }),

  async reset() {
    await withLatency(5000, async (proxy) => {
      const { listen, upstream } = proxy;
      await proxy.update({ enabled: false, listen, upstream });
      await server.reset();
      await fails(404, proxy.getToxic("latency_downstream"));
      const client = await connect(await server.get(proxy.name));
      await takes(0, () => echoed(client), 2000);
      client.socket.destroy();
    });
  },

  async version() {
    assert.match(JSON.parse(await server.getVersion()).version, /^2\.\d+\.\d+$/);
  },
};

await checks[name]();
