// Package relay passes HTTP/1.1 requests from the connections of clients to
// servers, and their responses back.
//
// One goroutine serves a client's connection. It reads a request, writes it to a
// connection of its own to the server, and reads the response itself: nothing is
// handed over between goroutines, which is what a proxy made of net/http's Server
// and Transport spends most of its time with. A second goroutine is there only
// for the TLS handshake, while a request body is on its way, while a connection is
// upgraded, and while a response lets itself be waited for.
//
// Requests and responses are parsed by net/http on both sides, and the request is
// written by it. What may go where is not decided here: see package ambassador.
package relay
