package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"runtime/debug"
	"time"

	jsonpatch "gomodules.xyz/jsonpatch/v2"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
	kjson "sigs.k8s.io/json"
)

// review is what is read of an AdmissionReview. The Pod, which is most of it, is
// decoded in the same pass: a runtime.RawExtension would have it scanned and
// copied once before.
type review struct {
	metav1.TypeMeta `json:",inline"`
	Request         request `json:"request"`
}

type request struct {
	UID       types.UID  `json:"uid"`
	Namespace string     `json:"namespace"`
	Object    corev1.Pod `json:"object"`
}

// ServeHTTP answers an AdmissionReview. What is not one is answered with an HTTP
// error: there is no UID to put into an answer.
func (i *Injector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer answerPanic(r.Context(), w)
	room, err := takeRoom(r.ContentLength)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer room.leave()
	body, code, err := readBody(w, r, room)
	if err != nil {
		http.Error(w, brief(err), code)
		return
	}
	answer, code, err := i.review(r.Context(), body)
	if err != nil {
		http.Error(w, brief(err), code)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(answer) // if it fails, nobody is there to be told
}

// review answers a body, or says which HTTP status the error has. The Pod is gone
// when it returns: whoever asked may take his time to read the answer.
func (i *Injector) review(ctx context.Context, body []byte) (answer []byte, code int, err error) {
	done, code, err := awaitDecoding(ctx, body)
	if err != nil {
		return nil, code, err
	}
	defer done()
	start := time.Now()
	var in review
	err = kjson.UnmarshalCaseSensitivePreserveInts(body, &in)
	if in.Kind != "AdmissionReview" || in.Request.UID == "" {
		return nil, http.StatusBadRequest, notAReview(err)
	}
	response, o := i.answer(ctx, &in, err)
	answer, err = in.marshal(response)
	i.Metrics.observe(o, time.Since(start))
	return answer, http.StatusInternalServerError, err
}

// answerPanic answers in place of what panicked.
func answerPanic(ctx context.Context, w http.ResponseWriter) {
	if p := recover(); p != nil {
		log.FromContext(ctx).Error(fmt.Errorf("panic: %v", p), "answering a review", "stack", string(debug.Stack()))
		http.Error(w, "the webhook failed to answer; its log says where", http.StatusInternalServerError)
	}
}

// readBody reads the body of a request, or says which HTTP status the error has.
func readBody(w http.ResponseWriter, r *http.Request, room *room) (body []byte, code int, err error) {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return nil, http.StatusUnsupportedMediaType, fmt.Errorf("the Content-Type is %q; send an AdmissionReview as application/json", r.Header.Get("Content-Type"))
	}
	// What a length promises may never come.
	buffer := bytes.NewBuffer(make([]byte, 0, bytes.MinRead+max(0, min(r.ContentLength, usualReview))))
	room.Reader = http.MaxBytesReader(w, r.Body, maxReview)
	_, err = buffer.ReadFrom(room)
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, http.StatusRequestEntityTooLarge, fmt.Errorf("the AdmissionReview is larger than %d bytes", tooLarge.Limit)
	}
	if errors.Is(err, errBusy) {
		return nil, http.StatusServiceUnavailable, err
	}
	if err != nil {
		return nil, http.StatusBadRequest, fmt.Errorf("reading the AdmissionReview: %w", err)
	}
	return buffer.Bytes(), 0, nil
}

func notAReview(err error) error {
	if err != nil {
		return fmt.Errorf("reading the AdmissionReview: %w", err)
	}
	return errors.New("the body is not an AdmissionReview with a request and its uid")
}

// answer answers a review, which was decoded with the given error.
func (i *Injector) answer(ctx context.Context, in *review, err error) (admission.Response, outcome) {
	pod := &in.Request.Object
	switch {
	case in.APIVersion != admissionv1.SchemeGroupVersion.String():
		err = fmt.Errorf("the AdmissionReview is of %s; set admissionReviewVersions to [v1] in the webhook configuration", in.APIVersion)
	case err != nil:
		err = fmt.Errorf("reading the Pod: %w", err)
	case pod.Kind != "Pod" || pod.APIVersion != "v1":
		err = fmt.Errorf("the review has no Pod of v1 but %q of %q; name only pods in the rules of the webhook configuration", pod.Kind, pod.APIVersion)
	default:
		return i.inject(ctx, &in.Request)
	}
	return admission.Errored(http.StatusBadRequest, errors.New(brief(err))), unreadable
}

// marshal is the review that answers r.
func (r *review) marshal(response admission.Response) ([]byte, error) {
	answer := response.AdmissionResponse
	answer.UID = r.Request.UID
	if len(response.Patches) > 0 {
		// Operation's own MarshalJSON has each one written and read several times. It
		// is there for values that are null, and there are none.
		type operation jsonpatch.Operation
		operations := make([]operation, 0, len(response.Patches))
		for _, o := range response.Patches {
			operations = append(operations, operation(o))
		}
		patch, err := json.Marshal(operations)
		if err != nil {
			return nil, fmt.Errorf("writing the patch: %w", err)
		}
		kind := admissionv1.PatchTypeJSONPatch
		answer.Patch, answer.PatchType = patch, &kind
	}
	b, err := json.Marshal(admissionv1.AdmissionReview{TypeMeta: r.TypeMeta, Response: &answer})
	if err != nil {
		return nil, fmt.Errorf("writing the AdmissionReview: %w", err)
	}
	return b, nil
}
