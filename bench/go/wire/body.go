package wire

import (
	"bytes"
	"errors"
	"strconv"
)

// ErrMalformed says that a body is framed in a way that RFC 9112 does not know.
var ErrMalformed = errors.New("malformed body")

// Body reads one message's body piece by piece. Without length and chunks there is none: a response that
// ends with its connection is not for keep-alive, and no gateway here sends one.
type Body struct {
	chunked bool
	left    int // of the body, or of the current chunk
	// Done says that the last byte was read.
	Done  bool
	stage stage
}

type stage int

const (
	size stage = iota
	data
	dataEnd
	trailer
)

// Start begins the body that belongs to the head.
func (b *Body) Start(head []byte) error {
	*b = Body{}
	if bytes.Contains(Field(head, "transfer-encoding"), []byte("chunked")) {
		b.chunked = true
		return nil
	}
	length := Field(head, "content-length")
	if length == nil {
		b.Done = true
		return nil
	}
	left, err := strconv.Atoi(string(length))
	if err != nil || left < 0 {
		return ErrMalformed
	}
	b.left, b.Done = left, left == 0
	return nil
}

// Next returns the next piece of the payload and how many bytes of in it took. It took none when in is too
// short; the piece is empty when it took nothing but framing.
func (b *Body) Next(in []byte) (piece []byte, taken int, err error) {
	if !b.chunked {
		piece = in[:min(b.left, len(in))]
		b.left -= len(piece)
		b.Done = b.left == 0
		return piece, len(piece), nil
	}
	if b.stage == data {
		piece = in[:min(b.left, len(in))]
		if b.left -= len(piece); b.left == 0 {
			b.stage = dataEnd
		}
		return piece, len(piece), nil
	}
	line := bytes.IndexByte(in, '\n')
	if line < 0 {
		return nil, 0, nil
	}
	text := bytes.TrimRight(in[:line], "\r")
	switch b.stage {
	case size:
		digits, _, _ := bytes.Cut(text, []byte(";"))
		left, err := strconv.ParseUint(string(bytes.TrimSpace(digits)), 16, 31)
		if err != nil {
			return nil, 0, ErrMalformed
		}
		b.left, b.stage = int(left), data
		if left == 0 {
			b.stage = trailer
		}
	case dataEnd:
		if len(text) > 0 {
			return nil, 0, ErrMalformed
		}
		b.stage = size
	case trailer:
		b.Done = len(text) == 0
	}
	return nil, line + 1, nil
}
