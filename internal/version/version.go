// Package version is the version of the programs.
package version

// version is set by the linker: -X .../internal/version.version=v1.2.3.
var version = "dev"

// String is the version that the program was built as.
func String() string { return version }
