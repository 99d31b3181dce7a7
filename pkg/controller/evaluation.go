package controller

import (
	"context"
	"time"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
	"github.com/kube-connector/kube-connector/pkg/connector"
	"github.com/kube-connector/kube-connector/pkg/probe"
)

// evaluation is one look at one Connector. Each check finds what the checks
// before it left here and leaves what it found out itself.
type evaluation struct {
	connector *v1alpha1.Connector
	now       time.Time

	// address is what spec.address says, zero if it is not valid; addressError
	// then says why.
	address      connector.Address
	addressError error
	// class is the Connector's class, and probes are its probes; nil if the class
	// is not ready.
	class  *v1alpha1.ConnectorClass
	probes *probe.Class
	// authType is the class's auth type that the Connector uses, nil if the class
	// has none.
	authType *v1alpha1.AuthType
	// secret is the data of the Secret that the Connector authenticates with, nil
	// if there is none or it is not as it must be; token is the bearer token in it,
	// empty if there is none. Both are shared: nobody may change them.
	secret map[string][]byte
	token  string
	// sealing is the bearer token, even one that has expired: the sidecar should
	// hear from the target that it has, and not take the address for unsealed.
	sealing  string
	lifetime connector.Lifetime
	// ca are the certificates to trust besides the system's roots, and
	// tokenSecretCA those under ca.crt beside the token, nil if there are none.
	ca            *authorities
	tokenSecretCA *authorities
	// proxy is where the sidecar serves the Connector, nil if it cannot.
	proxy *v1alpha1.ConnectorProxy
	// outcome is what the target answered, nil if it was not asked or has not
	// answered yet.
	outcome *outcome

	findings map[v1alpha1.ConditionType]finding
}

func (e *evaluation) ready(condition v1alpha1.ConditionType) bool {
	return e.findings[condition].ready()
}

// check looks at one thing and says so in one condition. An error means that it
// could not look for a reason that will pass, as when the API server is away:
// the status then stays as it is, and the reconcile is tried again.
type check struct {
	condition v1alpha1.ConditionType
	look      func(*reconciler, context.Context, *evaluation) (finding, error)
	// informational says that the condition is not a part of Ready.
	informational bool
}

// checks are in the order in which they depend on each other, which is also the
// order in which a failure makes it into Ready.
var checks = []check{
	{condition: v1alpha1.ConditionConnectorClassReady, look: (*reconciler).checkClass},
	{condition: v1alpha1.ConditionSecretReady, look: (*reconciler).checkSecret},
	{condition: v1alpha1.ConditionTokenExpiryReady, look: (*reconciler).checkTokenExpiry, informational: true},
	{condition: v1alpha1.ConditionCACertReady, look: (*reconciler).checkCACert, informational: true},
	{condition: v1alpha1.ConditionLivenessReady, look: (*reconciler).checkLiveness},
	{condition: v1alpha1.ConditionAuthReady, look: (*reconciler).checkAuth},
	{condition: v1alpha1.ConditionProxyServiceReady, look: (*reconciler).checkProxyService},
}

// summary folds the findings into Ready: the first that is not true, or true.
func (e *evaluation) summary() finding {
	for _, c := range checks {
		if f := e.findings[c.condition]; !c.informational && !f.ready() {
			return f
		}
	}
	return good(v1alpha1.ReasonReady, "Pods can use this Connector")
}
