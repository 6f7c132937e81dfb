// An HTTP server on an inherited listener, while it reads lines from standard input: goroutines
// that wait in accept, in read and for clocks meet in one poll_oneoff. Ends at the line "stop".
package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"
)

func main() {
	for _, fd := range []int{0, 3} {
		if err := syscall.SetNonblock(fd, true); err != nil {
			fmt.Println("nonblock:", fd, err)
			os.Exit(10)
		}
	}
	listener, err := net.FileListener(os.NewFile(3, "listener"))
	if err != nil {
		fmt.Println("listener:", err)
		os.Exit(10)
	}
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(10 * time.Millisecond)
		fmt.Fprintf(w, "hello %s", r.URL.Path)
	})
	go func() {
		err := http.Serve(listener, nil)
		fmt.Println("serve:", err)
		os.Exit(10)
	}()
	fmt.Println("serving")
	lines := bufio.NewScanner(os.NewFile(0, "stdin"))
	for lines.Scan() {
		fmt.Println("line", lines.Text())
		if lines.Text() == "stop" {
			return
		}
	}
	fmt.Println("end of input:", lines.Err())
}
