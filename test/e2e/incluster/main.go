// Incluster is a program as there are many: it takes for granted which cluster it
// runs in. It prints what a ConfigMap says under "word", each time that it changes.
//
// usage: incluster NAMESPACE
package main

import (
	"context"
	"fmt"
	"os"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

func main() {
	if err := run(context.Background(), os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "incluster:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, namespace string) error {
	config, err := rest.InClusterConfig()
	if err != nil {
		return err
	}
	client, err := typedcorev1.NewForConfig(config)
	if err != nil {
		return err
	}
	say := func(object any) {
		if c, ok := object.(*corev1.ConfigMap); ok && c.Data["word"] != "" {
			fmt.Println("says", c.Data["word"])
		}
	}
	_, informer := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: cache.NewListWatchFromClient(client.RESTClient(), "configmaps", namespace, fields.Everything()),
		ObjectType:    &corev1.ConfigMap{},
		Handler:       cache.ResourceEventHandlerFuncs{AddFunc: say, UpdateFunc: func(_, object any) { say(object) }},
	})
	informer.RunWithContext(ctx)
	return nil
}
