package install

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kube-connector/kube-connector/test/cluster"
)

const (
	// atOnce is how many Pods are asked for at the same time, so that the API server
	// has several connections, and to more than one replica.
	atOnce = 4
	// atLeast is how many Pods a stream asks for, or it would show nothing.
	atLeast = 40
)

// stream asks for Pods with the sidecar all the time, until it is stopped, and
// checks that every one was admitted and injected, after so many refusals in all.
// They are not created (dry run), since admission is what it is about.
func stream(t *testing.T, refusals int) (stop func()) {
	t.Helper()
	client, err := kubernetes.NewForConfig(clusters.Home.RESTConfig())
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	enough := make(chan struct{})
	var mu sync.Mutex
	var asked int
	var failures []string
	ask := func() {
		began := time.Now()
		// Not ended with the stream: what was asked for shall be answered.
		failure := refusal(context.WithoutCancel(ctx), client)
		mu.Lock()
		defer mu.Unlock()
		if asked++; asked == atLeast {
			close(enough)
		}
		if failure != "" {
			failures = append(failures, began.Format(time.StampMilli)+" to "+time.Now().Format(time.StampMilli)+": "+failure)
		}
	}
	var done sync.WaitGroup
	for range atOnce {
		done.Go(func() {
			tick := time.NewTicker(200 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
					ask()
				}
			}
		})
	}
	stop = sync.OnceFunc(func() {
		select {
		case <-enough:
		case <-ctx.Done(): // the test has ended already
		}
		cancel()
		done.Wait()
		t.Logf("%d Pods asked for, %d refused %q", asked, len(failures), failures)
		assert.LessOrEqual(t, len(failures), refusals)
	})
	t.Cleanup(stop)
	return stop
}

// refusal asks for a Pod with the sidecar, and tells why there is none.
func refusal(ctx context.Context, client kubernetes.Interface) string {
	created, err := client.CoreV1().Pods(team).Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			GenerateName: "asks-", Annotations: map[string]string{"connectors.alauda.io/connectors": "k8s-connector"},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: cluster.ToolboxImage}}},
	}, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	switch {
	case err != nil:
		return err.Error()
	case len(created.Spec.InitContainers) != 1:
		return "not injected"
	default:
		return ""
	}
}
