package webhook

// TrimConnector is what the cache does with a Connector.
var TrimConnector = trimConnector

// TrimClass is what it does with a class.
var TrimClass = trimClass
