package wire

import "testing"

const streamed = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" +
	"5\r\nhello\r\n7;x=y\r\n, world\r\n0\r\nTrailer: t\r\n\r\n"

func TestAChunkedBodyIsTheSameHoweverItsBytesArrive(t *testing.T) {
	for step := 1; step <= len(streamed); step++ {
		var body Body
		var payload, waiting []byte
		headEnd := HeadEnd([]byte(streamed))
		if err := body.Start([]byte(streamed)[:headEnd]); err != nil {
			t.Fatal(err)
		}
		for at := headEnd; at < len(streamed); at += step {
			waiting = append(waiting, streamed[at:min(at+step, len(streamed))]...)
			for !body.Done {
				piece, taken, err := body.Next(waiting)
				if err != nil {
					t.Fatalf("step %d: %v", step, err)
				}
				if taken == 0 {
					break
				}
				payload = append(payload, piece...)
				waiting = waiting[taken:]
			}
		}
		if string(payload) != "hello, world" || !body.Done || len(waiting) != 0 {
			t.Fatalf("step %d: payload %q, done %v, left %q", step, payload, body.Done, waiting)
		}
	}
}

func TestABodyByLengthEndsAtItsLength(t *testing.T) {
	head := []byte("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nContent-Length: 4\r\n\r\n")
	var body Body
	if err := body.Start(head); err != nil {
		t.Fatal(err)
	}

	piece, taken, err := body.Next([]byte("bodyGET"))

	if string(piece) != "body" || taken != 4 || err != nil || !body.Done {
		t.Fatalf("piece %q, taken %d, error %v, done %v", piece, taken, err, body.Done)
	}
}

func TestAHeadIsReadByNameInAnyCase(t *testing.T) {
	head := []byte("HTTP/1.1 503 Busy\r\nX-Content-Type: no\r\nCONTENT-TYPE:  text/plain \r\n\r\n")

	if got := string(Field(head, "content-type")); got != "text/plain" {
		t.Errorf("content-type is %q", got)
	}
	if got := Field(head, "content"); got != nil {
		t.Errorf("content is %q", got)
	}
	if got := Status(head); got != 503 {
		t.Errorf("status is %d", got)
	}
	if got := HeadEnd(head[:len(head)-1]); got != 0 {
		t.Errorf("an incomplete head ends at %d", got)
	}
}

func TestAChunkSizeThatIsNoNumberIsMalformed(t *testing.T) {
	body := Body{chunked: true}

	if _, _, err := body.Next([]byte("five\r\n")); err != ErrMalformed {
		t.Fatalf("error is %v", err)
	}
}
