package poll

import "time"

type timer struct {
	moment time.Time
	call   func()
}

// timers is a heap, soonest first. Written out, since container/heap allocates for each push and a thousand
// streams push fifty thousand times a second.
type timers []timer

func (t *timers) push(added timer) {
	heap := append(*t, added)
	at := len(heap) - 1
	for at > 0 {
		above := (at - 1) / 2
		if !added.moment.Before(heap[above].moment) {
			break
		}
		heap[at] = heap[above]
		at = above
	}
	heap[at] = added
	*t = heap
}

func (t *timers) pop() timer {
	heap := *t
	first, last := heap[0], heap[len(heap)-1]
	heap[len(heap)-1] = timer{}
	heap = heap[:len(heap)-1]
	at := 0
	for below := 1; below < len(heap); below = 2*at + 1 {
		if right := below + 1; right < len(heap) && heap[right].moment.Before(heap[below].moment) {
			below = right
		}
		if !heap[below].moment.Before(last.moment) {
			break
		}
		heap[at] = heap[below]
		at = below
	}
	if len(heap) > 0 {
		heap[at] = last
	}
	*t = heap
	return first
}
