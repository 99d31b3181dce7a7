// Package probe asks the API server of a Connector whether it is alive and
// whether it accepts the token.
//
// It shows the token to nothing but a server whose certificate was verified,
// follows no redirect and uses no proxy. Its errors are *Error: their kind says
// which condition is at fault, and their text, meant for people, is made of
// nothing that the server wrote except the names in its certificate, because a
// server could send the token back.
package probe
