// Asks the iExec SDK. Standard input: {rpc, hub, now, services, key, calls: [[name, ...arguments]]}; standard output:
// for each call {value} or {error}. Numbers of any size are decimal text.
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const input = JSON.parse(await new Response(process.stdin).text());
const require = createRequire(process.argv[2]);
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const { IExec, utils } = await load('iexec');

// The SDK compares deadlines with the clock of the machine; the chain's time is another one.
Date.now = () => input.now * 1000;

const provider = input.key ? utils.getSignerFromPrivateKey(input.rpc, input.key) : input.rpc;
const url = input.services;
const sdk = new IExec(
  { ethProvider: provider },
  { hubAddress: input.hub, ipfsGatewayURL: url, compassURL: url, smsURL: url, iexecGatewayURL: url, ipfsNodeURL: url, pocoSubgraphURL: url },
);

const first = (observable) =>
  new Promise((resolve, reject) => {
    const stop = observable.subscribe({ next: (value) => { resolve(value); setTimeout(() => stop()); }, error: reject });
  });

const ways = {
  task: (id) => sdk.task.show(id),
  observed: async (id, dealid) => first(await sdk.task.obsTask(id, { dealid })),
  deal: (id) => sdk.deal.show(id),
  account: (address) => sdk.account.checkBalance(address),
  category: (n) => sdk.hub.showCategory(n),
  app: (address) => sdk.app.showApp(address),
  dataset: (address) => sdk.dataset.showDataset(address),
  workerpool: (address) => sdk.workerpool.showWorkerpool(address),
  info: (id) => sdk.task.fetchOffchainInfo(id),
  results: async (id) => Buffer.from(await (await sdk.task.fetchResults(id)).arrayBuffer()).toString('hex'),
  logs: (id) => sdk.task.fetchLogs(id),
};

const plain = (value) => {
  if (value === null || typeof value !== 'object') return typeof value === 'bigint' ? value.toString() : value;
  if (utils.BN.isBN(value)) return value.toString(10);
  if (Array.isArray(value)) return value.map(plain);
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
};

const answers = [];
for (const [name, ...given] of input.calls) {
  answers.push(await ways[name](...given).then((value) => ({ value: plain(value) }), (error) => ({ error: error.message })));
}
process.stdout.write(JSON.stringify(answers), () => process.exit(0));
