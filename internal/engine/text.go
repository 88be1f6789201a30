package engine

import "strings"

// maxMessage bounds the message of a state.
const maxMessage = 16 << 10

// storable returns a text as every store can keep it: valid UTF-8, without the character that PostgreSQL refuses.
func storable(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}

// bounded returns a message as a state may hold it, cut at the end of a character.
func bounded(message string) string {
	message = storable(message)
	if len(message) <= maxMessage {
		return message
	}
	cut := maxMessage
	for cut > 0 && message[cut]&0xC0 == 0x80 {
		cut--
	}
	return message[:cut] + "..."
}

// FirstNonEmpty returns the first value that is not "".
func FirstNonEmpty(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
