//go:build tools

package ghz

import _ "github.com/bojand/ghz/cmd/ghz"
