"""Reads a ConfigMap with the official Python client, as a program in a cluster does.

usage: incluster.py NAMESPACE NAME
"""
import sys

from kubernetes import client, config

namespace, name = sys.argv[1:]
config.load_incluster_config()
print("says", client.CoreV1Api().read_namespaced_config_map(name, namespace).data["word"])
