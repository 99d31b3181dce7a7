package proxybench

import (
	"fmt"
	"math"
	"slices"
	"strconv"
)

// figure is something measured, or none.
type figure float64

// none is a figure that makes no sense or could not be measured.
var none = figure(math.NaN())

// MarshalJSON writes none as null, and no more digits than a figure has.
func (f figure) MarshalJSON() ([]byte, error) {
	if f.none() {
		return []byte("null"), nil
	}
	return []byte(strconv.FormatFloat(math.Round(float64(f)*1000)/1000, 'f', -1, 64)), nil
}

func (f figure) none() bool { return math.IsNaN(float64(f)) || math.IsInf(float64(f), 0) }

func (f figure) text(format string) string {
	if f.none() {
		return "–"
	}
	return fmt.Sprintf(format, float64(f))
}

// median is that of the figures that there are.
func median(figures []figure) figure {
	sorted := slices.DeleteFunc(slices.Clone(figures), figure.none)
	if len(sorted) == 0 {
		return none
	}
	slices.Sort(sorted)
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// ratio is the median of the ratios of figures that were measured in the same
// round.
func ratio(of, to []figure) figure {
	var ratios []figure
	for i := range min(len(of), len(to)) {
		ratios = append(ratios, of[i]/to[i])
	}
	return median(ratios)
}

// quantile of sorted figures, for q from 0 to 1.
func quantile(sorted []figure, q float64) figure {
	if len(sorted) == 0 {
		return none
	}
	return sorted[int(q*float64(len(sorted)-1))]
}
