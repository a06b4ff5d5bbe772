// A worker that knows nothing of Taskscan but the Task Executor API: node worker.mjs URL CLIENT_ID SECRET JOBS
// Adds up params.numbers; fails on the first attempt where params.stumble is set.
const [url, id, secret, count] = process.argv.slice(2);

async function rpc(method, params) {
  const answer = await fetch(url, {
    method: "POST",
    headers: {
      "Content-Type": "application/json",
      Authorization: "Basic " + Buffer.from(`${id}:${secret}`).toString("base64"),
    },
    body: JSON.stringify({ method: `awf.task/${method}`, params }),
  });
  const { result, error } = await answer.json();
  if (error) throw new Error(`${answer.status} ${error.type}: ${error.message}`);
  return result;
}

for (let done = 0; done < Number(count); ) {
  const { resources } = await rpc("long-poll", { taskDefinitions: ["test/add"], maxBatchSize: 2, timeout: 10000 });
  for (const { id, execId, params } of resources) {
    const { resource } = await rpc("start", { id, execId });
    if (params.stumble && resource.retryCount === 1) {
      await rpc("fail", { id, execId, error: { message: "stumbled" } });
      continue;
    }
    await rpc("notify", { id, execId, notification: "heartbeat", message: "adding" });
    await rpc("notify", {
      id, execId, notification: "progress",
      "progress-current": params.numbers.length, "progress-total": params.numbers.length, "progress-unit": "numbers",
    });
    await rpc("success", { id, execId, result: { sum: params.numbers.reduce((a, b) => a + b, 0) } });
    done += 1;
  }
}
