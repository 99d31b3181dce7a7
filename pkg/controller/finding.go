package controller

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kube-connector/kube-connector/pkg/apis/connectors/v1alpha1"
)

// finding is what a check found out: a condition without its bookkeeping.
type finding struct {
	status  metav1.ConditionStatus
	reason  v1alpha1.ConditionReason
	message string
}

func (f finding) ready() bool { return f.status == metav1.ConditionTrue }

func good(reason v1alpha1.ConditionReason, format string, args ...any) finding {
	return finding{metav1.ConditionTrue, reason, fmt.Sprintf(format, args...)}
}

func bad(reason v1alpha1.ConditionReason, format string, args ...any) finding {
	return finding{metav1.ConditionFalse, reason, fmt.Sprintf(format, args...)}
}

// unknown is what a check says that could not look yet.
func unknown(format string, args ...any) finding {
	return finding{metav1.ConditionUnknown, v1alpha1.ReasonProbing, fmt.Sprintf(format, args...)}
}
