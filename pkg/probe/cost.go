package probe

import (
	"fmt"
	"regexp/syntax"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/overloads"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/interpreter"
)

// CEL looks at its limits between the steps of an expression only, and takes some
// steps for short that need not be: to compare lists, which may hold others many times
// over, and to match a pattern, which may be any text. So values that an expression
// makes are kept small, patterns are known beforehand, and both are charged for.
const (
	// maxHeft bounds values. That of an answer is smaller.
	maxHeft = maxAnswer
	// maxPattern bounds the states of a pattern, each of which may look at each
	// character. With as many, one match of the longest body is within maxCost.
	maxPattern = 150
	// bytesPerUnit is how much text CEL reads for a unit of cost.
	bytesPerUnit = 10
)

// patterns are those of an expression, and how many states each has.
type patterns map[string]int

// patternsOf finds them. Each must stand in the expression: what a server writes into
// one could take gigabytes. The problem is "" if all of them are good.
func patternsOf(a *ast.AST) (_ patterns, problem string) {
	sizes := patterns{}
	for _, call := range ast.MatchDescendants(ast.NavigateAST(a), ast.FunctionMatcher(overloads.Matches)) {
		args := call.AsCall().Args()
		arg := args[len(args)-1] // the only one, or that after the text
		at := a.SourceInfo().GetStartLocation(arg.ID())
		where := fmt.Sprintf("line %d:%d", at.Line(), at.Column()+1)
		if arg.Kind() != ast.LiteralKind {
			return nil, where + ": matches takes a pattern in quotes, none that is computed; write it there, or use contains, startsWith or endsWith"
		}
		pattern, _ := arg.AsLiteral().Value().(string)
		size, err := patternSize(pattern)
		switch {
		case err != nil:
			return nil, fmt.Sprintf("%s: the pattern of matches is none: %s", where, err)
		case size > maxPattern:
			return nil, fmt.Sprintf("%s: the pattern of matches takes too much work: %d states, where %d are allowed; repeat less in it", where, size, maxPattern)
		}
		sizes[pattern] = size
	}
	return sizes, ""
}

func patternSize(pattern string) (int, error) {
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return 0, err
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return 0, err
	}
	return len(program.Inst), nil
}

// CallCost is what a call took; CEL knows the calls that are not here. It makes
// patterns an interpreter.ActualCostEstimator.
func (p patterns) CallCost(function, _ string, args []ref.Val, result ref.Val) *uint64 {
	var cost int
	switch function {
	case operators.Equals, operators.NotEquals:
		cost = min(heft(args[0], maxHeft), heft(args[1], maxHeft))
	case operators.In:
		if _, ok := args[1].(traits.Lister); !ok {
			return nil // to find a key of a map takes no time
		}
		cost = heft(args[1], maxHeft)
	case operators.Add:
		made := result
		if _, ok := args[0].(traits.MutableLister); ok {
			made = args[1] // a macro adds to its list; what it has is paid for
		}
		cost = heft(made, maxHeft)
	case overloads.Matches:
		text, _ := args[0].(types.String)
		pattern, _ := args[1].(types.String)
		cost = (1 + len(text)/bytesPerUnit) * p[string(pattern)]
	default:
		return nil
	}
	charged := uint64(cost)
	return &charged
}

// heft is how many values there are in a value, and text counts too. It stops
// counting above most.
func heft(v ref.Val, most int) int {
	sum := 1
	switch v := v.(type) {
	case types.String:
		sum += len(v) / bytesPerUnit
	case types.Bytes:
		sum += len(v) / bytesPerUnit
	case traits.Lister:
		for i := v.Iterator(); sum <= most && i.HasNext() == types.True; {
			sum += heft(i.Next(), most-sum)
		}
	case traits.Mapper:
		for i := v.Iterator(); sum <= most && i.HasNext() == types.True; {
			key := i.Next()
			sum += heft(key, most-sum) + heft(v.Get(key), most-sum)
		}
	}
	return sum
}

// bounded is a list or a map in an expression.
type bounded struct {
	interpreter.InterpretableConstructor
}

// boundConstructors ends an expression that makes a list or a map that is too big,
// which CEL charges the same for, whatever is in it.
func boundConstructors(i interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
	if constructor, ok := i.(interpreter.InterpretableConstructor); ok {
		return bounded{constructor}, nil
	}
	return i, nil
}

func (b bounded) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	made := b.InterpretableConstructor.Exec(frame)
	if heft(made, maxHeft) > maxHeft {
		panic(interpreter.EvalCancelledError{Cause: interpreter.CostLimitExceeded, Message: "a list or a map is too big"})
	}
	return made
}

func (b bounded) Eval(vars interpreter.Activation) ref.Val { return b.Exec(interpreter.AsFrame(vars)) }

// metered are the bounds of an evaluation.
func (p patterns) metered() []cel.ProgramOption {
	return []cel.ProgramOption{
		cel.CostTracking(p),
		cel.CostLimit(maxCost),
		cel.CustomDecoratorV2(boundConstructors),
		cel.OptimizeRegex(interpreter.MatchesRegexOptimization), // each is compiled once
		cel.InterruptCheckFrequency(checkEvery),
	}
}
