package reviews

import (
	"context"
	"encoding/json"
	"net/http"

	evanphx "github.com/evanphx/json-patch/v5"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

// Empty is a handler of controller-runtime that decodes the review and allows it.
func Empty() http.Handler {
	return &admission.Webhook{Handler: admission.HandlerFunc(func(context.Context, admission.Request) admission.Response {
		return admission.Allowed("")
	})}
}

// EmptyPlain does the same with the standard library alone, and checks next to
// nothing.
func EmptyPlain() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review admissionv1.AdmissionReview
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil || review.Request == nil {
			http.Error(w, "not an AdmissionReview", http.StatusBadRequest)
			return
		}
		review.Response = &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: true}
		review.Request = nil
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(review)
	})
}

// Diff does what handlers of controller-runtime do: it decodes the Pod, changes
// it, marshals it and has the difference computed. The answer of ours says what to
// change; it is applied beforehand, so that the change costs nothing here.
func Diff(ctx context.Context, ours http.Handler) (http.Handler, error) {
	answer, err := Post(ctx, ours)
	if err != nil {
		return nil, err
	}
	var asked, answered admissionv1.AdmissionReview
	if err := json.Unmarshal(Ordinary, &asked); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(answer.Body.Bytes(), &answered); err != nil {
		return nil, err
	}
	patch, err := evanphx.DecodePatch(answered.Response.Patch)
	if err != nil {
		return nil, err
	}
	raw, err := patch.Apply(asked.Request.Object.Raw)
	if err != nil {
		return nil, err
	}
	var injected corev1.Pod
	if err := json.Unmarshal(raw, &injected); err != nil {
		return nil, err
	}
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	decoder := admission.NewDecoder(scheme)
	return &admission.Webhook{Handler: admission.HandlerFunc(func(_ context.Context, req admission.Request) admission.Response {
		var pod corev1.Pod
		if err := decoder.Decode(req, &pod); err != nil {
			return admission.Errored(http.StatusBadRequest, err)
		}
		pod = injected
		marshaled, err := json.Marshal(&pod)
		if err != nil {
			return admission.Errored(http.StatusInternalServerError, err)
		}
		return admission.PatchResponseFromRaw(req.Object.Raw, marshaled)
	})}, nil
}
