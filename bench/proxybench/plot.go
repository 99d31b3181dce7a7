package proxybench

import (
	"encoding/xml"
	"fmt"
	"math"
	"strings"
)

// The plot, in pixels.
const (
	plotWidth, plotHeight = 880, 400
	plotLeft, plotRight   = 56, 24
	plotTop, plotBottom   = 88, 64
	barWidth, barGap      = 30, 2
)

// plotColors are those of the numbers of connections, from few to many. They
// differ in lightness, too.
var plotColors = []string{"#9ecae1", "#4292c6", "#084594"}

// plotGroup is one proxy in one mode.
type plotGroup struct {
	name, mode string
	bars       []Requests // one for each number of connections
}

// plot draws CPU per request beside HAProxy's as an SVG: a group of bars for
// each proxy.
func plot(rows []Requests) []byte {
	groups := plotGroups(rows)
	most := 1.0
	for _, g := range groups {
		for _, bar := range g.bars {
			most = max(most, float64(bar.ToHAProxy))
		}
	}
	// Room for the number above the highest bar.
	top := math.Ceil(most*2+0.5) / 2
	y := func(ratio float64) float64 {
		return plotHeight - plotBottom - ratio/top*(plotHeight-plotTop-plotBottom)
	}

	var svg canvas
	svg.add(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%[1]d" height="%[2]d" font-family="sans-serif" font-size="12" fill="#222">`, plotWidth, plotHeight)
	svg.add(`<rect width="100%%" height="100%%" fill="#fff"/>`)
	svg.text(plotLeft, 28, `font-size="16" font-weight="bold"`, "CPU per request, HAProxy = 1")
	svg.text(plotLeft, 48, `fill="#555"`, "TLS in and out, 2 KiB of JSON, keep-alive; less is better")
	for ratio := 0.0; ratio <= top; ratio += 0.5 {
		style := `stroke="#ddd"`
		if ratio == 1 {
			style = `stroke="#c00" stroke-dasharray="4 3"`
		}
		svg.add(`<line x1="%d" x2="%d" y1="%.1f" y2="%[3]f" %s/>`, plotLeft, plotWidth-plotRight, y(ratio), style)
		svg.text(plotLeft-8, y(ratio)+4, `text-anchor="end" fill="#555"`, fmt.Sprintf("%.1f", ratio))
	}
	for i, g := range groups {
		pitch := float64(plotWidth-plotLeft-plotRight) / float64(len(groups))
		center := plotLeft + pitch*(float64(i)+0.5)
		left := center - float64(len(g.bars)*(barWidth+barGap)-barGap)/2
		for j, bar := range g.bars {
			if bar.ToHAProxy.none() {
				continue
			}
			x, ratio := left+float64(j*(barWidth+barGap)), float64(bar.ToHAProxy)
			svg.add(`<rect x="%.1f" y="%.1f" width="%d" height="%.1f" fill="%s"/>`, x, y(ratio), barWidth, y(0)-y(ratio), plotColors[j%len(plotColors)])
			svg.text(x+barWidth/2, y(ratio)-4, `text-anchor="middle" font-size="11" stroke="#fff" stroke-width="3" paint-order="stroke"`, fmt.Sprintf("%.2f", ratio))
		}
		weight := "normal"
		if g.name == ours {
			weight = "bold"
		}
		svg.text(center, y(0)+20, `text-anchor="middle" font-weight="`+weight+`"`, g.name)
		svg.text(center, y(0)+36, `text-anchor="middle" fill="#555"`, g.mode)
	}
	if len(groups) > 0 {
		for j, bar := range groups[0].bars {
			x := float64(plotLeft + j*130)
			svg.add(`<rect x="%.1f" y="60" width="12" height="12" fill="%s"/>`, x, plotColors[j%len(plotColors)])
			label := fmt.Sprintf("%d connections", bar.Connections)
			if bar.Connections == 1 {
				label = "1 connection"
			}
			svg.text(x+18, 70, "", label)
		}
	}
	svg.add(`</svg>`)
	return []byte(svg.String())
}

// plotGroups are the proxies that can be compared.
func plotGroups(rows []Requests) []plotGroup {
	var groups []plotGroup
	for _, row := range rows {
		if row.Proxy == direct {
			continue
		}
		if last := len(groups) - 1; last < 0 || groups[last].name != row.Proxy || groups[last].mode != row.Mode {
			groups = append(groups, plotGroup{name: row.Proxy, mode: row.Mode})
		}
		last := &groups[len(groups)-1]
		last.bars = append(last.bars, row)
	}
	return groups
}

// canvas is an SVG that is being written.
type canvas struct{ strings.Builder }

func (c *canvas) add(format string, args ...any) {
	fmt.Fprintf(c, format, args...)
	c.WriteByte('\n')
}

func (c *canvas) text(x, y float64, style, content string) {
	c.add(`<text x="%.1f" y="%.1f" %s>%s</text>`, x, y, style, escape(content))
}

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder takes everything
	return b.String()
}
