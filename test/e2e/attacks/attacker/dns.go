package main

import (
	"bytes"
	"encoding/binary"
	"net"
)

// dns answers every question for an IPv4 address with the same one, and no other.
//
// usage: attacker dns ADDRESS
func dns(args []string) error {
	conn, err := net.ListenPacket("udp", "127.0.0.1:53")
	if err != nil {
		return err
	}
	buffer := make([]byte, 4096)
	for {
		n, from, err := conn.ReadFrom(buffer)
		if err != nil {
			return err
		}
		if reply := dnsReply(buffer[:n], net.ParseIP(args[0]).To4()); reply != nil {
			_, _ = conn.WriteTo(reply, from)
		}
	}
}

// dnsReply answers the only question of a message (RFC 1035 section 4.1).
func dnsReply(message []byte, address net.IP) []byte {
	const header = 12
	if len(message) < header {
		return nil
	}
	name := bytes.IndexByte(message[header:], 0)
	end := header + name + 5
	if name < 0 || len(message) < end {
		return nil
	}
	const response, forAddress = 0x8180, 1
	answers := uint16(0)
	if binary.BigEndian.Uint16(message[end-4:]) == forAddress {
		answers = 1
	}
	reply := append([]byte{}, message[:2]...)
	for _, field := range []uint16{response, 1, answers, 0, 0} {
		reply = binary.BigEndian.AppendUint16(reply, field)
	}
	reply = append(reply, message[header:end]...)
	if answers == 0 {
		return reply
	}
	reply = append(reply, 0xc0, header, 0, forAddress, 0, 1, 0, 0, 0, 1, 0, 4) // the name of the question, for a second
	return append(reply, address...)
}
