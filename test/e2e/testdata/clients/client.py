"""Lists, watches and execs with the official Python client.

usage: client.py KUBECONFIG CONTEXT NAMESPACE POD
"""
import sys

from kubernetes import client, config, watch
from kubernetes.stream import stream

kubeconfig, context, namespace, pod = sys.argv[1:]
config.load_kube_config(config_file=kubeconfig, context=context)
api = client.CoreV1Api()

pods = api.list_namespaced_pod(namespace)
print("listed", [item.metadata.name for item in pods.items])

marker = client.V1ConfigMap(metadata=client.V1ObjectMeta(generate_name="python-"))
marker = api.create_namespaced_config_map(namespace, marker)
events = watch.Watch().stream(api.list_namespaced_config_map, namespace, timeout_seconds=30)
for event in events:
    if event["object"].metadata.name == marker.metadata.name:
        print("watched", event["type"])
        break

output = stream(api.connect_get_namespaced_pod_exec, pod, namespace, container="app",
                command=["hostname"], stdout=True, stderr=True, stdin=False, tty=False)
print("executed", output.strip())
