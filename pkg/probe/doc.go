// Package probe asks the target of a Connector whether it is alive and whether it
// accepts what the Connector authenticates with, as its ConnectorClass says.
//
// A class is compiled once, by Compile. It makes a Question for a Connector, and a
// Target answers it. Templates and expressions of a class run within bounds that do
// not depend on what the class says.
//
// A secret is shown to nothing but a server whose certificate was verified, at the
// Connector's own address. No redirect is followed, and no proxy is used unless the
// options say so. Errors are *Error: their kind says which condition is at fault, and
// their text, meant for people, is made of nothing that the server wrote except the
// names in its certificate, because a server could send the secret back.
package probe
