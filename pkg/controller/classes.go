package controller

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/yaml"
)

// classK8s is the ConnectorClass for Kubernetes clusters. It comes with the
// controller and not with the manifests, because kubectl cannot apply an object
// together with the definition of its kind.
//
//go:embed classes/k8s.yaml
var classK8s []byte

// classInstaller applies the classes that come with the product, once, when this
// replica begins to lead.
type classInstaller struct {
	client client.Client
}

// Start implements manager.Runnable.
func (i classInstaller) Start(ctx context.Context) error {
	var class unstructured.Unstructured
	if err := yaml.Unmarshal(classK8s, &class.Object); err != nil {
		return fmt.Errorf("reading the built-in ConnectorClass: %w", err)
	}
	err := wait.PollUntilContextCancel(ctx, time.Second, true, func(ctx context.Context) (bool, error) {
		err := i.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(&class), client.ForceOwnership)
		if err != nil {
			log.FromContext(ctx).Error(err, "cannot apply the built-in ConnectorClass, trying again", "class", class.GetName())
		}
		return err == nil, nil
	})
	if ctx.Err() != nil {
		return nil //nolint:nilerr // told to stop
	}
	return err
}
