package e2e

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
)

// trouble is one way in which it does not work, as a new user meets it.
type trouble struct {
	// sentence is a heading of docs/troubleshooting.md; "…" stands for what
	// differs.
	sentence string
	// meet does what the user does, and returns where he looks. Nothing in it
	// waits, so that all troubles take their time together.
	meet func(s *scene) (look func() string)
}

// troubles are those that can be met at the same time.
var troubles = slices.Concat(statusTroubles, admissionTroubles, podTroubles)

// elsewhere are the sentences that other tests show.
var elsewhere = map[string]string{
	"the address does not answer as a Kubernetes API server does (…); check host, port and path of spec.address": "pkg/controller TestConditions, pkg/probe",
	"the cluster runs Kubernetes …; at least 1.30 is needed, for native sidecars: upgrade the cluster":           "internal/setup TestOldClusterIsRefused",
	`failed calling webhook "annotated.connectors.alauda.io": …`:                                                 "TestWebhookDown",
	"Failed to pull image …": "TestSidecarImageMissing",
	"Connector … has not been checked yet; if that does not pass in a moment, see whether the controller runs": "TestControllerDown",
	"the controller has not confirmed the address of the Connector yet, so the token goes nowhere; …":          "TestControllerDown",
	`no matches for kind "ValidatingAdmissionPolicy" in version "admissionregistration.k8s.io/v1"`:             "TestOldKubernetes",

	"container connector-proxy is not as injection makes it: …":                                                    "TestOtherWebhooksAndBrokenPods",
	"container connector-proxy is not as injection makes it: it has the image …, and only … may hold a token; …":   "TestSidecarImageMissing",
	"another admission webhook changed container connector-proxy: …":                                               "TestOtherWebhooksAndBrokenPods",
	`the Pod has an init container "connector-proxy" with … that injection did not give it; …`:                     "TestOtherWebhooksAndBrokenPods",
	"spec.initContainers[…].lifecycle: Forbidden: may not be set for init containers without restartPolicy=Always": "TestOtherWebhooksAndBrokenPods",
	"init container … has a kubeconfig and would run before container connector-proxy, which makes it: …":          "TestOtherWebhooksAndBrokenPods",
	"the Pod asks for Connectors and has no init container connector-proxy: …":                                     "TestOtherWebhooksAndBrokenPods",
	"the Pod has shareProcessNamespace, with which others could use or read container connector-proxy; …":          "TestCopiesForDebugging",
	"container connector-proxy holds the tokens of Connectors, so nobody gets into it; …":                          "TestSidecarTakesNothingFromExec",
	"container … would see the processes of container connector-proxy, which holds the tokens of Connectors; …":    "pkg/apis TestSidecarPolicy",
	"volume … has Secret … of Connector …, which only container connector-proxy may have; …":                       "pkg/apis TestCredentialPolicy",
	"user … may not get Secret …, and so may not …":                                                                "pkg/apis TestConnectorPolicy",
}

// TestTroubleshooting: whoever does something wrong sees the very sentence that
// docs/troubleshooting.md explains.
func TestTroubleshooting(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	looks := make([]func() string, len(troubles))
	for i, trouble := range troubles {
		looks[i] = trouble.meet(s)
	}
	for i, trouble := range troubles {
		t.Run(trouble.sentence, func(t *testing.T) {
			awaitSentence(t, trouble.sentence, looks[i])
		})
	}
}

// TestEveryTroubleIsShown: nothing in docs/troubleshooting.md is only claimed,
// and nothing that tests show is missing there.
func TestEveryTroubleIsShown(t *testing.T) {
	t.Parallel()
	var shown []string
	for _, trouble := range troubles {
		shown = append(shown, trouble.sentence)
	}
	for sentence := range elsewhere {
		shown = append(shown, sentence)
	}
	assert.ElementsMatch(t, documentedSentences(t), shown)
}

// documentedSentences are the headings of docs/troubleshooting.md that are
// sentences.
func documentedSentences(t *testing.T) []string {
	t.Helper()
	content, err := os.ReadFile("../../docs/troubleshooting.md")
	require.NoError(t, err)
	var sentences []string
	for line := range strings.Lines(string(content)) {
		if sentence, ok := strings.CutPrefix(line, "### `"); ok {
			sentences = append(sentences, strings.TrimSuffix(sentence, "`\n"))
		}
	}
	require.NotEmpty(t, sentences)
	return sentences
}

// awaitSentence waits until a documented sentence is seen.
func awaitSentence(t *testing.T, sentence string, look func() string) {
	t.Helper()
	require.Contains(t, documentedSentences(t), sentence)
	var seen string
	err := wait.PollUntilContextTimeout(t.Context(), interval, patience, true, func(context.Context) (bool, error) {
		seen = look()
		return says(seen, sentence), nil
	})
	require.NoError(t, err, "wanted: %s\nseen: %s", sentence, seen)
}

// says reports whether what is seen has the parts of a sentence, in order.
func says(seen, sentence string) bool {
	for part := range strings.SplitSeq(sentence, "…") {
		_, after, found := strings.Cut(seen, part)
		if !found {
			return false
		}
		seen = after
	}
	return true
}

// kubectl does what a person does, and returns all that he sees.
func kubectl(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), clusters.Kubectl, append([]string{"--kubeconfig", clusters.Home.Kubeconfig}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	output, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil {
		require.ErrorAs(t, err, &exit) // it ran, and says what is wrong
	}
	return string(output)
}

// TestJobWaitsForItsConnector: a Job that is there before its Connector goes on
// by itself.
func TestJobWaitsForItsConnector(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.kubectl(jobManifest("list", uses("later"), ""), "apply", "-f", "-")
	eventually(t, func() bool { return strings.Contains(s.kubectl("", "describe", "job", "list"), "FailedCreate") }, "the Pod is not refused")
	s.kubectl(connectorManifest("later", faulty{}), "apply", "-f", "-")
	awaitJob(t, &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "list", Namespace: s.namespace}}, batchv1.JobComplete)
}
