// Lists, watches and execs with the official JavaScript client.
// usage: client.js KUBECONFIG CONTEXT NAMESPACE POD
import { CoreV1Api, Exec, KubeConfig, Watch } from '@kubernetes/client-node';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';

const [kubeconfig, context, namespace, pod] = process.argv.slice(2);
const config = new KubeConfig();
config.loadFromFile(kubeconfig);
config.setCurrentContext(context);
const api = config.makeApiClient(CoreV1Api);

const pods = await api.listNamespacedPod({ namespace });
console.log('listed', pods.items.map((item) => item.metadata.name));

const marker = await api.createNamespacedConfigMap({ namespace, body: { metadata: { generateName: 'javascript-' } } });
await new Promise((resolve, reject) => {
  const watching = new Watch(config).watch(`/api/v1/namespaces/${namespace}/configmaps`, {}, async (type, object) => {
    if (object.metadata.name === marker.metadata.name) {
      console.log('watched', type);
      resolve(); // first: abort ends the watch with an error
      (await watching).abort();
    }
  }, reject);
  watching.catch(reject);
});

const stdout = new PassThrough();
const status = await new Promise((resolve, reject) => {
  new Exec(config).exec(namespace, pod, 'app', ['hostname'], stdout, process.stderr, null, false, resolve).catch(reject);
});
stdout.end();
console.log('executed', (await text(stdout)).trim(), status.status);
