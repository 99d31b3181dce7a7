package webhook

// TrimConnector is what the cache does with a Connector.
var TrimConnector = trimConnector
