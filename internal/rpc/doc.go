// Package rpc serves a store over a byte stream: the pipe between a runner and its subprocess.
//
// [Client] is a [store.Store] that turns each operation into a [Call] and waits for the [Answer].
// [Server] executes calls on a store. Neither knows how messages travel: a [Conn] carries them in
// frames, and other messages may share the stream, in frames of other kinds. [Serve] and [Connect]
// wire all of it up for a stream that carries nothing but calls and answers.
//
// Both ends must be the same build: messages are encoded by package wire, without field names.
// Nothing is encrypted, not even secrets: the stream must be private to the two processes.
package rpc
