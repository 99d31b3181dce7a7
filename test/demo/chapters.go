package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	corev1 "k8s.io/api/core/v1"
)

const namespace = "team-a"

// prepareTarget gives the target cluster something to see, and an identity that
// may see it.
func (s *story) prepareTarget(ctx context.Context) error {
	s.title("The target cluster has Pods, and a ServiceAccount that may view them")
	err := s.apply(ctx, "target", `apiVersion: v1
kind: Namespace
metadata: {name: team-development}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: pipeline, namespace: team-development}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: pipeline}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
subjects: [{kind: ServiceAccount, name: pipeline, namespace: team-development}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop, namespace: team-development}
spec:
  replicas: 2
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec: {containers: [{name: shop, image: example.com/shop}]}
`)
	if err != nil {
		return err
	}
	token, err := s.kubectl(ctx, "target", "", "-n", "team-development", "create", "token", "pipeline", "--duration=24h")
	if err != nil {
		return err
	}
	s.targetToken = strings.TrimSpace(token)
	s.say("Its token is the thing that no app in home shall ever hold.")
	return nil
}

// connect makes the Connector and shows its status: first broken, then Ready.
func (s *story) connect(ctx context.Context) error {
	s.title("In home, a team names the target: a Connector")
	err := s.apply(ctx, "home", fmt.Sprintf(`apiVersion: v1
kind: Namespace
metadata:
  name: %[1]s
  labels: {connectors.alauda.io/injection: enabled}
---
apiVersion: connectors.alauda.io/v1alpha1
kind: Connector
metadata:
  name: k8s-connector
  namespace: %[1]s
  annotations: {cpaas.io/description: "Connect to team development kubernetes cluster"}
spec:
  connectorClassName: k8s
  address: %[2]s
  auth: {name: bearerTokenAuth, secretRef: {name: k8s-secret}}
`, namespace, s.clusters.Target.Address))
	if err != nil {
		return err
	}
	s.say("The Secret is still missing, and the Connector says so:")
	if err := s.awaitReason(ctx, "SecretNotFound"); err != nil {
		return err
	}
	if err := s.showReason(ctx); err != nil {
		return err
	}
	s.say("With the token, and the target's CA beside it, it becomes Ready:")
	if err := s.writeSecret(ctx, namespace, s.targetToken); err != nil {
		return err
	}
	if err := s.awaitReason(ctx, "Ready"); err != nil {
		return err
	}
	_, err = s.show(ctx, "home", "-n", namespace, "get", "connectors")
	return err
}

func (s *story) awaitReason(ctx context.Context, reason string) error {
	return s.await(ctx, "the Connector's reason "+reason, func() bool {
		output, err := s.kubectl(ctx, "home", "", "-n", namespace, "get", "connector", "k8s-connector",
			"-o", `jsonpath={.status.conditions[?(@.type=="Ready")].reason}`)
		return err == nil && output == reason
	})
}

func (s *story) showReason(ctx context.Context) error {
	if _, err := s.show(ctx, "home", "-n", namespace, "get", "connectors"); err != nil {
		return err
	}
	_, err := s.show(ctx, "home", "-n", namespace, "get", "connector", "k8s-connector",
		"-o", `jsonpath={.status.conditions[?(@.type=="Ready")].message}`)
	return err
}

func (s *story) writeSecret(ctx context.Context, namespace, token string) error {
	ca, err := json.Marshal(string(s.clusters.Target.CA))
	if err != nil {
		return err
	}
	return s.apply(ctx, "home", fmt.Sprintf(`apiVersion: v1
kind: Secret
metadata: {name: k8s-secret, namespace: %s}
type: connectors.cpaas.io/bearer-token
stringData:
  token: %s
  ca.crt: %s
`, namespace, token, ca), token, string(ca))
}

const jobManifest = `apiVersion: batch/v1
kind: Job
metadata: {name: list, namespace: team-a}
spec:
  backoffLimit: 0
  template:
    metadata:
      annotations: {connectors.alauda.io/connectors: k8s-connector}
    spec:
      restartPolicy: Never
      containers:
      - name: main
        image: kube-connector/toolbox:dev
        command: [kubectl, get, pods, -A]
`

// runJob runs a Job that uses the target, and shows what was added to its Pod.
func (s *story) runJob(ctx context.Context) error {
	s.title("A Job uses the target: one annotation, and a plain kubectl")
	if err := s.apply(ctx, "home", jobManifest); err != nil {
		return err
	}
	if _, err := s.show(ctx, "home", "-n", namespace, "wait", "--for=condition=complete", "--timeout=120s", "job/list"); err != nil {
		return err
	}
	s.say("What it printed are the Pods of the target cluster:")
	if _, err := s.show(ctx, "home", "-n", namespace, "logs", "job/list", "-c", "main"); err != nil {
		return err
	}
	return s.compare(ctx)
}

const csiManifest = `apiVersion: v1
kind: Pod
metadata: {name: csi, namespace: team-b}
spec:
  restartPolicy: Never
  containers:
  - name: main
    image: kube-connector/toolbox:dev
    command: [kubectl, get, pods, -n, team-development]
    env: [{name: KUBECONFIG, value: /opt/kube/kubeconfig}]
    volumeMounts: [{name: kube, mountPath: /opt/kube}]
  volumes:
  - name: kube
    csi:
      readOnly: true
      driver: connectors-csi
      volumeAttributes: {connector.name: k8s-connector, configuration.names: kubeconfig}
`

// runPublished runs a Pod of the published form, in a namespace of its own.
func (s *story) runPublished(ctx context.Context) error {
	s.title("A manifest that was written for the connectors-csi volume works as it is")
	s.say("No label is on the namespace, and no CSI driver is installed. The Connector is the\nsame as before, and so is its Secret:")
	err := s.apply(ctx, "home", fmt.Sprintf(`apiVersion: v1
kind: Namespace
metadata: {name: team-b}
---
apiVersion: connectors.alauda.io/v1alpha1
kind: Connector
metadata: {name: k8s-connector, namespace: team-b}
spec:
  connectorClassName: k8s
  address: %s
  auth: {name: bearerTokenAuth, secretRef: {name: k8s-secret}}
`, s.clusters.Target.Address))
	if err != nil {
		return err
	}
	if err := s.writeSecret(ctx, "team-b", s.targetToken); err != nil {
		return err
	}
	if _, err := s.show(ctx, "home", "-n", "team-b", "wait", "--for=condition=Ready", "--timeout=60s", "connector/k8s-connector"); err != nil {
		return err
	}
	if err := s.apply(ctx, "home", csiManifest); err != nil {
		return err
	}
	if _, err := s.show(ctx, "home", "-n", "team-b", "wait", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=120s", "pod/csi"); err != nil {
		return err
	}
	_, err = s.show(ctx, "home", "-n", "team-b", "logs", "csi", "-c", "main")
	return err
}

// compare shows the Pod as it was asked for beside the Pod as it ran.
func (s *story) compare(ctx context.Context) error {
	raw, err := s.kubectl(ctx, "home", "", "-n", namespace, "get", "pods", "-l", "batch.kubernetes.io/job-name=list", "-o", "json")
	if err != nil {
		return err
	}
	var list corev1.PodList
	if err := json.Unmarshal([]byte(raw), &list); err != nil {
		return fmt.Errorf("reading the Job's Pod: %w", err)
	}
	if len(list.Items) == 0 {
		return errors.New("the Job has no Pod")
	}
	pod := list.Items[0]
	s.say("The Pod as it was asked for, beside the Pod as it ran:")
	fmt.Fprintln(s.out)
	table := tabwriter.NewWriter(s.out, 0, 0, 3, ' ', 0)
	row := func(asked, ran string) { fmt.Fprintf(table, "    %s\t%s\n", asked, ran) }
	row("ASKED FOR", "RAN")
	row("initContainers: none", "initContainers:")
	for _, c := range pod.Spec.InitContainers {
		row("", fmt.Sprintf("- %s (%s, restartPolicy %s)", c.Name, c.Image, *c.RestartPolicy))
		for _, arg := range c.Args {
			row("", "    "+arg)
		}
		for _, m := range c.VolumeMounts {
			row("", "    sees "+m.MountPath)
		}
	}
	row("containers:", "containers:")
	for _, c := range pod.Spec.Containers {
		row("- "+c.Name, "- "+c.Name)
		for _, env := range c.Env {
			row("", "    "+env.Name+"="+env.Value)
		}
		for _, m := range c.VolumeMounts {
			if strings.Contains(m.MountPath, "connectors") {
				row("", "    sees "+m.MountPath+" (read-only)")
			}
		}
	}
	return table.Flush()
}
