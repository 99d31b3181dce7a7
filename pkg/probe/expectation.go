package probe

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
)

const (
	// maxCost bounds the evaluation of an expression, in CEL's own units. Kubernetes
	// grants a rule of admission ten times as much.
	maxCost = 1_000_000
	// maxEvaluation bounds its time, as far as loops go.
	maxEvaluation = time.Second
	// checkEvery is how many turns of a loop in an expression pass before it looks
	// whether the time is up. A turn may take milliseconds.
	checkEvery = 1
	// responseType is how errors of the compiler call the type of response.
	responseType = "response"
)

// expectation is which answers are good.
type expectation struct {
	source string
	// program is nil if every answer from 200 to 299 is good.
	program cel.Program
}

// responseFields are what expressions know of an answer.
var responseFields = map[string]*types.Type{
	"statusCode": types.IntType,
	"headers":    types.NewMapType(types.StringType, types.NewListType(types.StringType)),
	"body":       types.DynType,
	"bodyString": types.StringType,
}

// provider adds the type of response to those of CEL, so that a field that it does
// not have is an error of the class and not of each answer.
type provider struct{ types.Provider }

func (p provider) FindStructType(name string) (*types.Type, bool) {
	if name == responseType {
		return types.NewTypeTypeWithParam(types.NewObjectType(name)), true
	}
	return p.Provider.FindStructType(name)
}

func (p provider) FindStructFieldType(name, field string) (*types.FieldType, bool) {
	if name != responseType {
		return p.Provider.FindStructFieldType(name, field)
	}
	t, ok := responseFields[field]
	return &types.FieldType{Type: t}, ok
}

var environment = sync.OnceValues(func() (*cel.Env, error) {
	registry, err := types.NewRegistry()
	if err != nil {
		return nil, err
	}
	return cel.NewEnv(
		cel.CustomTypeAdapter(registry),
		cel.CustomTypeProvider(provider{registry}),
		cel.Variable("response", cel.ObjectType(responseType)),
		cel.CrossTypeNumericComparisons(true), // numbers in JSON are all of one type
		cel.ParserExpressionSizeLimit(maxSource),
		cel.ASTValidators(cel.ValidateComprehensionNestingLimit(3)),
	)
})

func compileExpectation(field, source string) (*expectation, error) {
	if strings.TrimSpace(source) == "" {
		return &expectation{}, nil
	}
	wrong := func(format string, args ...any) (*expectation, error) {
		return nil, &FieldError{Field: field, Problem: fmt.Sprintf(format, args...)}
	}
	if len(source) > maxSource {
		return wrong("is longer than %d bytes; shorten it", maxSource)
	}
	env, err := environment()
	if err != nil {
		return nil, fmt.Errorf("preparing CEL: %w", err)
	}
	ast, issues := env.Compile(source)
	if issues.Err() != nil {
		first := issues.Errors()[0]
		return wrong("is not an expression in CEL about response: line %d:%d: %s", first.Location.Line(), first.Location.Column()+1, oneLine(first.Message))
	}
	if t := ast.OutputType(); !t.IsExactType(types.BoolType) && !t.IsExactType(types.DynType) {
		return wrong("is not true or false but %s", t)
	}
	known, problem := patternsOf(ast.NativeRep())
	if problem != "" {
		return wrong("cannot be used: %s", oneLine(problem))
	}
	program, err := env.Program(ast, known.metered()...)
	if err != nil {
		return wrong("cannot be used: %s", oneLine(err.Error()))
	}
	return &expectation{source: source, program: program}, nil
}

// oneLine keeps a message of a compiler short.
func oneLine(s string) string {
	const most = 200
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// met reports whether an answer is good. An expression that does not fit an answer,
// as one about a body that is no JSON, is not true of it. What CEL says about that
// is not passed on, because it may quote the answer.
func (e *expectation) met(ctx context.Context, a *answer) bool {
	if e.program == nil {
		return a.status >= 200 && a.status <= 299
	}
	ctx, cancel := context.WithTimeout(ctx, maxEvaluation)
	defer cancel()
	out, _, err := e.program.ContextEval(ctx, map[string]any{"response": map[string]any{
		"statusCode": a.status,
		"headers":    lowerCase(a.header),
		"body":       a.json(),
		"bodyString": string(a.body),
	}})
	return err == nil && out == types.True
}

func lowerCase(header http.Header) map[string][]string {
	lower := make(map[string][]string, len(header))
	for name, values := range header {
		lower[strings.ToLower(name)] = values
	}
	return lower
}
