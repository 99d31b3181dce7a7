package probe

import (
	"errors"
	"reflect"
)

const (
	// maxSource bounds a template and an expression, in bytes. The schema has the
	// same bound.
	maxSource = 4096
	// maxText bounds what a template writes and what a function in it returns.
	maxText = 32 << 10
	// maxWork bounds what a template does. A usual one needs less than a hundredth.
	maxWork = 20_000
)

var (
	errTooMuchWork = errors.New("it takes too much work; simplify the template")
	errTooLong     = errors.New("it becomes too long; shorten what it uses")
)

// budget bounds the work of a template. text/template cannot be interrupted, so
// the template asks by itself: each function that it calls and each turn of a loop
// costs something, in units of about a microsecond at most.
type budget struct{ left int }

func (b *budget) spend(cost int) error {
	if cost > b.left {
		b.left = 0
		return errTooMuchWork
	}
	b.left -= cost
	return nil
}

var errorType = reflect.TypeFor[error]()

// bound makes a function that does as the given one does and pays for what goes in
// and comes out.
func (b *budget) bound(function any) any {
	f := reflect.ValueOf(function)
	t := f.Type()
	in := make([]reflect.Type, t.NumIn())
	for i := range in {
		in[i] = t.In(i)
	}
	out := []reflect.Type{t.Out(0), errorType}
	call := f.Call
	if t.IsVariadic() {
		call = f.CallSlice
	}
	fail := func(err error) []reflect.Value {
		return []reflect.Value{reflect.Zero(out[0]), reflect.ValueOf(&err).Elem()}
	}
	return reflect.MakeFunc(reflect.FuncOf(in, out, t.IsVariadic()), func(args []reflect.Value) []reflect.Value {
		cost := 1
		for _, arg := range args {
			cost += weight(arg)
		}
		if err := b.spend(cost); err != nil {
			return fail(err)
		}
		results := call(args)
		if len(results) > 1 && !results[1].IsNil() {
			return results
		}
		if results[0].Kind() == reflect.String && results[0].Len() > maxText {
			return fail(errTooLong)
		}
		if err := b.spend(weight(results[0])); err != nil {
			return fail(err)
		}
		return []reflect.Value{results[0], reflect.Zero(errorType)}
	}).Interface()
}

// weight is what it costs to look at a value. Values are not nested deeper than
// lists of text, apart from what comes from the Connector.
func weight(v reflect.Value) int {
	const perUnit, structure = 64, 20
	for v.Kind() == reflect.Interface || v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return 0
		}
		v = v.Elem()
	}
	switch v.Kind() { //nolint:exhaustive // the others are small
	case reflect.String:
		return v.Len() / perUnit
	case reflect.Slice, reflect.Array:
		sum := v.Len() / 4
		for i := range v.Len() {
			sum += weight(v.Index(i))
		}
		return sum
	case reflect.Map:
		sum := v.Len()
		for i := v.MapRange(); i.Next(); {
			sum += weight(i.Key()) + weight(i.Value())
		}
		return sum
	case reflect.Struct:
		sum := structure
		for i := range v.NumField() {
			sum += weight(v.Field(i))
		}
		return sum
	}
	return 0
}

// writer keeps what a template writes, up to maxText.
type writer struct{ text []byte }

func (w *writer) Write(p []byte) (int, error) {
	if len(w.text)+len(p) > maxText {
		return 0, errTooLong
	}
	w.text = append(w.text, p...)
	return len(p), nil
}
