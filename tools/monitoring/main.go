// Monitoring checks config/monitoring as Prometheus would read it: the rules are
// whole, and all expressions of rules and dashboard can be parsed. It prints each
// metric that they use with the labels that they expect of it, a line each, for the
// test that compares them with what the programs serve.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"
)

func main() {
	dir := flag.String("dir", "config/monitoring", "the directory to check")
	flag.Parse()
	used, err := check(*dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, "monitoring:", err)
		os.Exit(1)
	}
	for _, line := range used {
		fmt.Println(line)
	}
}

func check(dir string) ([]string, error) {
	promql := parser.NewParser(parser.Options{})
	rules, err := ofRules(filepath.Join(dir, "rules.yaml"), promql)
	if err != nil {
		return nil, err
	}
	panels, err := ofDashboard(filepath.Join(dir, "dashboard.json"))
	if err != nil {
		return nil, err
	}
	used := map[string]bool{}
	var wrong []error
	for _, text := range append(rules, panels...) {
		// Grafana puts a duration in its place.
		expr, err := promql.ParseExpr(strings.ReplaceAll(text, "$__rate_interval", "5m"))
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w", text, err))
			continue
		}
		parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
			if selector, ok := node.(*parser.VectorSelector); ok {
				used[line(selector)] = true
			}
			return nil
		})
	}
	return slices.Sorted(maps.Keys(used)), errors.Join(wrong...)
}

// line is a metric and the labels by which it is selected.
func line(selector *parser.VectorSelector) string {
	fields := []string{}
	for _, matcher := range selector.LabelMatchers {
		if matcher.Name != model.MetricNameLabel {
			fields = append(fields, matcher.Name)
		}
	}
	slices.Sort(fields)
	return strings.Join(append([]string{selector.Name}, slices.Compact(fields)...), " ")
}

// ofRules checks the rules of a PrometheusRule and returns their expressions.
func ofRules(path string, promql parser.Parser) ([]string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var object struct {
		Spec yaml.Node `yaml:"spec"`
	}
	if err := yaml.Unmarshal(content, &object); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	// What the operator hands to Prometheus as a file of rules.
	plain, err := yaml.Marshal(&object.Spec)
	if err != nil {
		return nil, err
	}
	groups, errs := rulefmt.Parse(plain, false, model.UTF8Validation, promql, slog.New(slog.DiscardHandler))
	if len(errs) > 0 {
		return nil, fmt.Errorf("%s: %w", path, errors.Join(errs...))
	}
	var expressions []string
	for _, group := range groups.Groups {
		for _, rule := range group.Rules {
			if rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" || rule.Labels["severity"] == "" {
				return nil, fmt.Errorf("%s: alert %s lacks a summary, a description or a severity", path, rule.Alert)
			}
			expressions = append(expressions, rule.Expr)
		}
	}
	return expressions, nil
}

// ofDashboard returns the expressions of a dashboard.
func ofDashboard(path string) ([]string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var dashboard struct {
		Panels []struct {
			ID      int
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(content, &dashboard); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var expressions []string
	seen := map[int]bool{}
	for _, panel := range dashboard.Panels {
		if panel.Title == "" || len(panel.Targets) == 0 || seen[panel.ID] {
			return nil, fmt.Errorf("%s: panel %d has no title, no query, or the id of another", path, panel.ID)
		}
		seen[panel.ID] = true
		for _, target := range panel.Targets {
			expressions = append(expressions, target.Expr)
		}
	}
	return expressions, nil
}
