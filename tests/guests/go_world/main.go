// A Go program whose output depends on everything that is different each time: the order of
// goroutines, of maps and of timers, random numbers, clocks, the bytes of files. For tests of
// replays.
package main

import (
	"crypto/sha256"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"sort"
	"sync"
	"time"
)

func worker(n int, jobs <-chan int, out chan<- string, wg *sync.WaitGroup) {
	defer wg.Done()
	for job := range jobs {
		time.Sleep(time.Duration(rand.Intn(300)) * time.Microsecond)
		out <- fmt.Sprintf("worker %d job %d", n, job)
	}
}

func main() {
	dir := os.Args[1]
	jobs, out := make(chan int), make(chan string, 100)
	var wg sync.WaitGroup
	for i := 0; i < 8; i++ {
		wg.Add(1)
		go worker(i, jobs, out, &wg)
	}
	for i := 0; i < 50; i++ {
		jobs <- i
	}
	close(jobs)
	wg.Wait()
	close(out)
	for line := range out {
		fmt.Println(line)
	}
	m := map[int]int{}
	for i := 0; i < 100; i++ {
		m[i] = rand.Int()
	}
	for k, v := range m {
		fmt.Println(k, v)
	}
	for i := 0; i < 20; i++ {
		name := filepath.Join(dir, fmt.Sprintf("f%d", i))
		if err := os.WriteFile(name, []byte(time.Now().String()), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	names, _ := filepath.Glob(filepath.Join(dir, "f*"))
	sort.Strings(names)
	for _, name := range names {
		data, _ := os.ReadFile(name)
		fmt.Printf("%s %x\n", name, sha256.Sum256(data))
	}
	garbage := 0
	for i := 0; i < 200; i++ {
		garbage += len(make([]byte, 100000))
	}
	fmt.Println(garbage, time.Now())
}
