// A client of the Go SDK: lists, calls, reads, is told how far a call is, and answers a question.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

type bearer struct{ token string }

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token)
	return http.DefaultTransport.RoundTrip(r)
}

func check(good bool, what string, details ...any) {
	if !good {
		fmt.Println("wrong:", what, details)
		os.Exit(1)
	}
}

func main() {
	ctx := context.Background()
	told := make(chan float64, 16)
	updated := make(chan string, 16)
	client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, &mcp.ClientOptions{
		ElicitationHandler: func(_ context.Context, r *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
			return &mcp.ElicitResult{Action: "accept", Content: map[string]any{"name": "Ada"}}, nil
		},
		ProgressNotificationHandler: func(_ context.Context, r *mcp.ProgressNotificationClientRequest) {
			told <- r.Params.Progress
		},
		ResourceUpdatedHandler: func(_ context.Context, r *mcp.ResourceUpdatedNotificationRequest) {
			updated <- r.Params.URI
		},
	})
	transport := &mcp.StreamableClientTransport{Endpoint: os.Args[1], HTTPClient: &http.Client{Transport: bearer{os.Args[2]}}}
	session, err := client.Connect(ctx, transport, nil)
	check(err == nil, "connect", err)
	call := func(name string, arguments map[string]any, token any) *mcp.CallToolResult {
		params := &mcp.CallToolParams{Name: name, Arguments: arguments}
		if token != nil {
			params.SetProgressToken(token)
		}
		result, err := session.CallTool(ctx, params)
		check(err == nil, name, err)
		return result
	}
	tools, err := session.ListTools(ctx, nil)
	check(err == nil && len(tools.Tools) > 10, "tools/list", err)
	check(session.Subscribe(ctx, &mcp.SubscribeParams{URI: "cis:///files/go"}) == nil, "subscribe")
	written := call("fs_write", map[string]any{"path": "/go", "content": "x"}, nil)
	check(!written.IsError, "fs_write")
	check(<-updated == "cis:///files/go", "updated")
	check(call("fs_read", map[string]any{"path": "/none"}, nil).IsError, "fs_read of nothing")
	read, err := session.ReadResource(ctx, &mcp.ReadResourceParams{URI: "cis:///files/go"})
	check(err == nil && read.Contents[0].Text == "x", "resources/read", err)
	check(!call("run_undo", map[string]any{"run": written.Meta["cis/run"]}, nil).IsError, "run_undo")
	check(!call("test_tool_with_progress", nil, "p").IsError, "progress")
	check(<-told < <-told, "progress goes on")
	asked := call("test_input_required_result_elicitation", map[string]any{}, nil)
	check(asked.Content[0].(*mcp.TextContent).Text == `Hello, {"name":"Ada"}`, "question", asked.Content[0])
	prompt, err := session.GetPrompt(ctx, &mcp.GetPromptParams{Name: "test_prompt_with_image"})
	check(err == nil && len(prompt.Messages) == 2, "prompts/get", err)
	check(session.Close() == nil, "close")
	fmt.Println("done")
}
