package proxybench

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMedian(t *testing.T) {
	for name, test := range map[string]struct {
		figures []figure
		want    figure
	}{
		"nothing":        {nil, none},
		"one":            {[]figure{3}, 3},
		"unsorted":       {[]figure{9, 1, 5}, 5},
		"even":           {[]figure{4, 1, 2, 9}, 3},
		"some are none":  {[]figure{none, 7, none}, 7},
		"all are none":   {[]figure{none, none}, none},
		"an outlier":     {[]figure{1, 2, 1000}, 2},
		"infinite ratio": {[]figure{figure(math.Inf(1)), 2}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			given := append([]figure(nil), test.figures...)
			assert.Equal(t, test.want.text("%g"), median(test.figures).text("%g"))
			assert.Len(t, test.figures, len(given))
			for i := range given {
				assert.Equal(t, given[i].text("%g"), test.figures[i].text("%g"), "the argument is left as it is")
			}
		})
	}
}

// TestRatio: a machine that becomes slower for a round does not change a ratio.
func TestRatio(t *testing.T) {
	assert.InDelta(t, 2, float64(ratio([]figure{20, 200, 22}, []figure{10, 100, 10})), 1e-9)
	assert.True(t, ratio(nil, nil).none())
	assert.True(t, ratio([]figure{1}, nil).none())
	assert.True(t, ratio([]figure{1}, []figure{none}).none())
	assert.True(t, ratio([]figure{1}, []figure{0}).none())
}

func TestQuantile(t *testing.T) {
	var sorted []figure
	for i := range 101 {
		sorted = append(sorted, figure(i))
	}
	assert.InDelta(t, 50, float64(quantile(sorted, 0.5)), 0)
	assert.InDelta(t, 99, float64(quantile(sorted, 0.99)), 0)
	assert.True(t, quantile(nil, 0.5).none())
}

// someReport has a direct row without CPU, and a row that failed.
func someReport() *Report {
	return &Report{
		Requests: []Requests{
			{Proxy: direct, Mode: "tls", Connections: 1, CPU: none, P50: 50, P99: 90, RSSIdle: none, RSS: none, ToHAProxy: none, toKubectl: none, p50ToHAProxy: 0.5},
			{Proxy: haproxy, Mode: "tls", Connections: 1, CPU: 40, P50: 100.00049, P99: 180, RSSIdle: 10000, RSS: 19000, ToHAProxy: 1, toKubectl: 0.3, p50ToHAProxy: 1},
			{Proxy: ours, Mode: "proxy", Connections: 1, CPU: 50, P50: 110, P99: 190, RSSIdle: 7000, RSS: 15000, ToHAProxy: 1.25, toKubectl: 0.4, p50ToHAProxy: 1.1},
			{Proxy: "<&>", Mode: `"`, Connections: 1, CPU: 50, P50: 110, P99: 190, RSSIdle: 7000, RSS: 15000, ToHAProxy: 7, toKubectl: 0.4, p50ToHAProxy: 1.1},
		},
		Watches: []Watches{{Proxy: ours, Mode: "proxy", Watches: 1000, RSSIdle: 7000, RSS: none, RSSEach: none, ToHAProxy: none, Event: none, ToDirect: none, Error: "244 of 1000 watches were opened, then: EOF"}},
		Bulk:    []Bulk{{Proxy: haproxy, Mode: "tls", Bytes: 1 << 30, Speed: 500, ToHAProxy: 1, RSSIdle: 10000, RSSSlow: 11000}},
	}
}

func TestWrite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bench", "out")
	require.NoError(t, someReport().Write(dir))

	content, err := os.ReadFile(filepath.Join(dir, "proxy.json"))
	require.NoError(t, err)
	var rows []map[string]any
	require.NoError(t, json.Unmarshal(content, &rows))
	require.Len(t, rows, 4)
	assert.Equal(t, map[string]any{
		"proxy": "direct", "mode": "tls", "connections": 1.0, "cpu_us_per_request": nil,
		"p50_us": 50.0, "p99_us": 90.0, "rss_idle_kb": nil, "rss_kb": nil, "ratio_to_haproxy": nil,
	}, rows[0])
	assert.Equal(t, map[string]any{
		"proxy": "haproxy", "mode": "tls", "connections": 1.0, "cpu_us_per_request": 40.0,
		"p50_us": 100.0, "p99_us": 180.0, "rss_idle_kb": 10000.0, "rss_kb": 19000.0, "ratio_to_haproxy": 1.0,
	}, rows[1])
	assert.Equal(t, "connector-proxy", rows[2]["proxy"])

	content, err = os.ReadFile(filepath.Join(dir, "proxy-watches.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(content, &rows))
	assert.Equal(t, "244 of 1000 watches were opened, then: EOF", rows[0]["error"])
	assert.Nil(t, rows[0]["rss_kb"])
	content, err = os.ReadFile(filepath.Join(dir, "proxy-bulk.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(content, &rows))
	assert.InDelta(t, 500, rows[0]["mb_per_s"], 0)
}

func TestPrint(t *testing.T) {
	var out strings.Builder
	require.NoError(t, someReport().Print(&out))
	assert.Regexp(t, `connector-proxy +proxy +1 +50\.0 +110 +190 +1\.25 +1\.0 +0\.40 +0\.4 `, out.String())
	assert.Regexp(t, `direct +tls +1 +– +50 +90 `, out.String())
	assert.Contains(t, out.String(), "connector-proxy, proxy: 244 of 1000 watches were opened, then: EOF")
	assert.NotContains(t, out.String(), "NaN")
}

func TestPlot(t *testing.T) {
	for name, rows := range map[string][]Requests{"rows": someReport().Requests, "no rows": nil} {
		t.Run(name, func(t *testing.T) {
			svg := string(plot(rows))
			decoder, elements := xml.NewDecoder(strings.NewReader(svg)), 0
			for {
				token, err := decoder.Token()
				if errors.Is(err, io.EOF) {
					break
				}
				require.NoError(t, err)
				if _, ok := token.(xml.StartElement); ok {
					elements++
				}
			}
			assert.Greater(t, elements, 5)
			assert.NotContains(t, svg, "%!", "every verb has its argument")
			assert.NotContains(t, svg, "NaN")
			for _, row := range rows {
				assert.Equal(t, row.Proxy != direct, strings.Contains(svg, escape(row.Proxy)+"</text>"), row.Proxy)
			}
		})
	}
}
