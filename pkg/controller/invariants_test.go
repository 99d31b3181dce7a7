package controller_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/common/expfmt"
	jsonpatch "gomodules.xyz/jsonpatch/v2"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/kube-connector/kube-connector/internal/testkit"
	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

// invariants sit between a controller and its API server. They check each status
// as it is written, whatever the test that runs is about, and keep all that the
// controller sends.
type invariants struct {
	// sent are the bodies of all requests.
	sent testkit.Log

	mu       sync.Mutex
	requests []sentRequest
	// last is the version of each Connector that the controller wrote last.
	last map[types.NamespacedName]*v1alpha1.Connector
	// broken is what was wrong, by namespace.
	broken map[string][]string

	// held is locked while the controller must not hear of changes of Connectors,
	// and down is set while it cannot reach the API server.
	held sync.RWMutex
	down atomic.Bool
}

var errDown = errors.New("the API server cannot be reached, says the test")

// stream is the answer to a watch of a controller.
type stream struct {
	io.ReadCloser
	*invariants
	ofConnectors bool
}

func (s stream) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	if s.ofConnectors {
		s.held.RLock()
		defer s.held.RUnlock()
	}
	if s.down.Load() {
		return 0, errDown
	}
	return n, err
}

type sentRequest struct{ method, path string }

func (i *invariants) watch(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		var body []byte
		if r.Body != nil {
			var err error
			if body, err = io.ReadAll(r.Body); err != nil {
				return nil, err
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		_, _ = i.sent.Write(body)
		i.mu.Lock()
		i.requests = append(i.requests, sentRequest{r.Method, r.URL.Path})
		i.mu.Unlock()
		if i.down.Load() {
			return nil, errDown
		}
		// Consumers have a writer of their own, which says nothing about Ready.
		isStatus := r.Method == http.MethodPatch && strings.Contains(r.URL.Path, "/connectors/") && strings.HasSuffix(r.URL.Path, "/status") &&
			r.URL.Query().Get("fieldManager") == "connector-controller"
		if isStatus {
			r.Header.Set("Accept", "application/json") // all of it, and not the metadata only
		}
		response, err := next.RoundTrip(r)
		if err == nil && r.URL.Query().Get("watch") == "true" {
			response.Body = stream{response.Body, i, strings.HasSuffix(r.URL.Path, "/connectors")}
		}
		if err != nil || !isStatus || response.StatusCode >= 300 {
			return response, err
		}
		written, err := io.ReadAll(response.Body)
		if err != nil {
			return nil, err
		}
		response.Body = io.NopCloser(bytes.NewReader(written))
		i.check(body, written)
		return response, nil
	})
}

// check checks a write of a status: what was sent, and what became of it.
func (i *invariants) check(sent, written []byte) {
	var c v1alpha1.Connector
	basis, problem := basisOf(sent)
	if err := json.Unmarshal(written, &c); err != nil {
		problem = err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.last == nil {
		i.last = make(map[types.NamespacedName]*v1alpha1.Connector)
		i.broken = make(map[string][]string)
	}
	if problem != nil {
		i.broken[c.Namespace] = append(i.broken[c.Namespace], problem.Error())
		return
	}
	key := types.NamespacedName{Namespace: c.Namespace, Name: c.Name}
	before := i.last[key]
	if before != nil && before.ResourceVersion != basis {
		before = nil // somebody else wrote in between
	}
	for _, violation := range append(inconsistencies(&c, true), needless(before, &c)...) {
		i.broken[c.Namespace] = append(i.broken[c.Namespace], fmt.Sprintf("%s: %s: %+v", key, violation, c.Status))
	}
	i.last[key] = &c
}

// basisOf is the version of a Connector that a patch is for.
func basisOf(sent []byte) (string, error) {
	var operations []jsonpatch.Operation
	if json.Unmarshal(sent, &operations) == nil {
		for _, o := range operations {
			if version, ok := o.Value.(string); ok && o.Path == "/metadata/resourceVersion" {
				return version, nil
			}
		}
	}
	var merged metav1.PartialObjectMetadata
	if json.Unmarshal(sent, &merged) == nil && merged.ResourceVersion != "" {
		return merged.ResourceVersion, nil
	}
	return "", fmt.Errorf("it is for no version: %s", sent)
}

// violations are those in a namespace, or in all.
func (i *invariants) violations(namespace string) []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	if namespace != "" {
		return i.broken[namespace]
	}
	var all []string
	for _, some := range i.broken {
		all = append(all, some...)
	}
	return all
}

// asked is how many requests there were about objects of a namespace.
func (i *invariants) asked(namespace string) int {
	return i.count(func(r sentRequest) bool { return strings.Contains(r.path, "/namespaces/"+namespace+"/") })
}

// statuses is how often a status was written in a namespace.
func (i *invariants) statuses(namespace string) int {
	return i.count(func(r sentRequest) bool {
		return strings.Contains(r.path, "/namespaces/"+namespace+"/") && strings.HasSuffix(r.path, "/status")
	})
}

// writesOfClass is how many requests there were that write the status of a class.
func (i *invariants) writesOfClass(name string) int {
	return i.count(func(r sentRequest) bool {
		return r.method != http.MethodGet && strings.HasSuffix(r.path, "/connectorclasses/"+name+"/status")
	})
}

// reads is how many requests there were that read one Secret.
func (i *invariants) reads(namespace, secret string) int {
	return i.count(func(r sentRequest) bool {
		return r.method == http.MethodGet && r.path == "/api/v1/namespaces/"+namespace+"/secrets/"+secret
	})
}

func (i *invariants) count(which func(sentRequest) bool) (n int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, r := range i.requests {
		if which(r) {
			n++
		}
	}
	return n
}

var summed = []v1alpha1.ConditionType{
	v1alpha1.ConditionConnectorClassReady, v1alpha1.ConditionSecretReady, v1alpha1.ConditionLivenessReady,
	v1alpha1.ConditionAuthReady, v1alpha1.ConditionProxyServiceReady,
}

var informational = []v1alpha1.ConditionType{v1alpha1.ConditionCACertReady, v1alpha1.ConditionTokenExpiryReady}

var timeOfDay = regexp.MustCompile(`\d\d:\d\d:\d\d`)

// inconsistencies are what is wrong with a status for itself. One that has just
// been written speaks of the present generation.
func inconsistencies(c *v1alpha1.Connector, justWritten bool) (wrong []string) {
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	conditions := make(map[v1alpha1.ConditionType]metav1.Condition)
	for _, condition := range c.Status.Conditions {
		conditions[v1alpha1.ConditionType(condition.Type)] = condition
	}
	ready, ok := conditions[v1alpha1.ConditionReady]
	if !ok {
		return []string{"there is no Ready"}
	}
	first := metav1.Condition{Status: metav1.ConditionTrue, Reason: string(v1alpha1.ReasonReady), Message: ready.Message}
	for _, part := range append(informational, summed...) {
		found, ok := conditions[part]
		if !ok {
			say("there is no %s", part)
			continue
		}
		if found.ObservedGeneration != ready.ObservedGeneration {
			say("%s is about another generation than Ready", part)
		}
		if found.Message == "" || len(found.Message) > 400 || timeOfDay.MatchString(found.Message) {
			say("the message of %s is empty, long, or has a time in it: %s", part, found.Message)
		}
	}
	for _, part := range summed {
		if found := conditions[part]; found.Status != metav1.ConditionTrue {
			first = found
			break
		}
	}
	if ready.Status != first.Status || ready.Reason != first.Reason || ready.Message != first.Message {
		say("Ready is not what its first part is that is not true")
	}
	if c.Status.ObservedGeneration != ready.ObservedGeneration || ready.ObservedGeneration > c.Generation {
		say("Ready is about another generation than the status")
	}
	if justWritten && ready.ObservedGeneration != c.Generation {
		say("Ready is about a generation that is over")
	}
	proxied := c.Status.Proxy != nil && c.Status.Proxy.HTTPAddress != nil && c.Status.Proxy.HTTPAddress.URL == "http://127.0.0.1:17443"
	switch proxy := conditions[v1alpha1.ConditionProxyServiceReady]; {
	case proxy.Reason == string(v1alpha1.ReasonNonProxy) && c.Status.Proxy != nil:
		say("there is a proxy though there is none")
	case proxy.Reason != string(v1alpha1.ReasonNonProxy) && proxy.Status != metav1.ConditionUnknown && !proxied:
		say("the address of the proxy is missing")
	}
	return wrong
}

// needless is what is wrong with a write after another.
func needless(before, after *v1alpha1.Connector) (wrong []string) {
	if before == nil || before.UID != after.UID {
		return nil
	}
	if before.ResourceVersion == after.ResourceVersion {
		return []string{"the write changed nothing"}
	}
	older, newer := before.Status.DeepCopy(), after.Status.DeepCopy()
	older.LastProbeTime, newer.LastProbeTime = nil, nil
	if equality.Semantic.DeepEqual(older, newer) {
		there := before.Status.LastProbeTime
		if there == nil || after.Status.LastProbeTime.Sub(there.Time) < 12*time.Hour {
			wrong = append(wrong, "the write changed lastProbeTime only")
		}
	}
	for _, condition := range older.Conditions {
		now := meta.FindStatusCondition(newer.Conditions, condition.Type)
		if now == nil || now.Status != condition.Status {
			continue
		}
		if !now.LastTransitionTime.Equal(&condition.LastTransitionTime) {
			wrong = append(wrong, condition.Type+" did not change, but its lastTransitionTime did")
		}
	}
	wasReady := meta.FindStatusCondition(older.Conditions, string(v1alpha1.ConditionReady))
	isReady := meta.FindStatusCondition(newer.Conditions, string(v1alpha1.ConditionReady))
	if wasReady != nil && isReady != nil && before.Generation == after.Generation && wasReady.Status == metav1.ConditionTrue &&
		isReady.Status == metav1.ConditionUnknown && !strings.Contains(isReady.Message, "may not read") {
		wrong = append(wrong, "Ready became Unknown though nobody changed the Connector")
	}
	return wrong
}

// leaksOf is where a token, or enough of it to be too much, is among texts. Its end
// is the part that tells it from others.
func leaksOf(token string, texts map[string]string) (leaks []string) {
	part := token[max(0, len(token)-12):]
	// In base64, whatever stands before it.
	forms := []string{part}
	for skip := range min(3, len(token)) {
		encoded := base64.StdEncoding.EncodeToString([]byte(token[skip:]))
		forms = append(forms, strings.TrimRight(encoded, "=")[:len(encoded)*3/4])
	}
	for where, text := range texts {
		for _, form := range forms {
			if strings.Contains(text, form) {
				leaks = append(leaks, where)
				break
			}
		}
	}
	return leaks
}

// metricsText is what the controllers' metrics say.
func metricsText() (string, error) {
	families, err := metrics.Registry.Gather()
	if err != nil {
		return "", err
	}
	var text strings.Builder
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(&text, family); err != nil {
			return "", err
		}
	}
	return text.String(), nil
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
