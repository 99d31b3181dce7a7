package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

const appManifest = `apiVersion: apps/v1
kind: Deployment
metadata: {name: app, namespace: team-a}
spec:
  selector: {matchLabels: {app: app}}
  template:
    metadata:
      labels: {app: app}
      annotations: {connectors.alauda.io/connectors: k8s-connector}
    spec:
      containers:
      - name: app
        image: kube-connector/toolbox:dev
        command: [sleep, "86400"]
`

// searchScript looks for the lines of its standard input in all that a process
// can see: files, its environment, other processes' environments and arguments.
const searchScript = `cat >/tmp/wanted
{ find / -xdev -type f ! -path /tmp/wanted
  find /var/run /dev/shm -type f
  ls /proc/[0-9]*/environ /proc/[0-9]*/cmdline; } 2>/dev/null | sort -u | xargs grep -lFf /tmp/wanted 2>/dev/null
rm /tmp/wanted; echo "(end of search)"`

// searchToken shows that the app cannot find the token.
func (s *story) searchToken(ctx context.Context) error {
	s.title("The app never holds the token")
	s.say("An app that stays, so that we can look around in it:")
	if err := s.apply(ctx, "home", appManifest); err != nil {
		return err
	}
	if _, err := s.show(ctx, "home", "-n", namespace, "rollout", "status", "deploy/app", "--timeout=120s"); err != nil {
		return err
	}
	s.say("Its kubeconfig. The password in proxy-url was made in this Pod and is of no use\nelsewhere; the CA is this sidecar's own:")
	if _, err := s.show(ctx, "home", "-n", namespace, "exec", "deploy/app", "-c", "app", "--", "cut", "-c-100", "/var/run/connectors.alauda.io/kubeconfig"); err != nil {
		return err
	}
	s.say("We are in the app and look for the token, whole and its signature alone, in every\nfile, environment and command line that the app can see:")
	found, err := s.search(ctx, s.targetToken+"\n"+s.targetToken[strings.LastIndex(s.targetToken, ".")+1:]+"\n")
	if err != nil {
		return err
	}
	if strings.Contains(found, "/") {
		return errors.New("the app found the token; this is a bug, please report it")
	}
	s.say("Nothing. The same search for the kubeconfig's placeholder, to see that it works:")
	control, err := s.search(ctx, "fake-token\n")
	if err != nil {
		return err
	}
	if !strings.Contains(control, "kubeconfig") {
		return errors.New("the search itself does not work")
	}
	return nil
}

func (s *story) search(ctx context.Context, wanted string) (string, error) {
	output, err := s.kubectl(ctx, "home", wanted, "-n", namespace, "exec", "-i", "deploy/app", "-c", "app", "--", "sh", "-c", searchScript)
	fmt.Fprintf(s.out, "\napp$ { find / -type f; ls /proc/*/environ /proc/*/cmdline; } | xargs grep -lFf wanted\n")
	s.print(output)
	return output, err
}

// rotate replaces the token and ends the old one, while the app runs.
func (s *story) rotate(ctx context.Context) error {
	s.title("The token is rotated, and the running Pod does not notice")
	if err := s.apply(ctx, "target", `apiVersion: v1
kind: ServiceAccount
metadata: {name: pipeline-2, namespace: team-development}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: pipeline-2}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
subjects: [{kind: ServiceAccount, name: pipeline-2, namespace: team-development}]
`); err != nil {
		return err
	}
	if _, err := s.whoami(ctx); err != nil {
		return err
	}
	token, err := s.kubectl(ctx, "target", "", "-n", "team-development", "create", "token", "pipeline-2", "--duration=24h")
	if err != nil {
		return err
	}
	s.say("A token of another ServiceAccount goes into the Secret:")
	if err := s.writeSecret(ctx, namespace, strings.TrimSpace(token)); err != nil {
		return err
	}
	s.say("The kubelet refreshes the volume within seconds here (its syncFrequency is 10s; at\nKubernetes' default it takes 60 to 90 seconds):")
	if err := s.await(ctx, "the new token to reach the Pod", func() bool {
		output, err := s.kubectl(ctx, "home", "", whoamiArgs...)
		return err == nil && strings.Contains(output, "pipeline-2")
	}); err != nil {
		return err
	}
	if _, err := s.show(ctx, "target", "-n", "team-development", "delete", "serviceaccount", "pipeline"); err != nil {
		return err
	}
	if _, err := s.whoami(ctx); err != nil {
		return err
	}
	s.say("The old identity is gone, the app goes on, nothing restarted:")
	_, err = s.show(ctx, "home", "-n", namespace, "get", "pods", "-l", "app=app")
	return err
}

var whoamiArgs = []string{"-n", namespace, "exec", "deploy/app", "-c", "app", "--", "kubectl", "auth", "whoami"}

func (s *story) whoami(ctx context.Context) (string, error) {
	return s.show(ctx, "home", whoamiArgs...)
}
