package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/safe-go/safe/sharedata"
)

// board is the state. The server sends what changes in it as patches.
type board struct {
	Cards []card `json:"cards"`
	// People counts what each person did: by name, then by function.
	People map[string]map[string]int `json:"people"`
	NextID int                       `json:"nextId"`
}

type card struct {
	ID     int    `json:"id"`
	Title  string `json:"title"`
	Column string `json:"column"`
	By     string `json:"by"`
}

var columns = []string{"todo", "doing", "done"}

const (
	maxTitle = 40 // characters
	maxCards = 24
	maxDoing = 3
	maxNames = 50
)

func newBoard() board {
	return board{NextID: 3, People: map[string]map[string]int{}, Cards: []card{
		{ID: 1, Title: "Open this page in a second tab", Column: "todo", By: "board"},
		{ID: 2, Title: "Drag a card to another column", Column: "todo", By: "board"},
	}}
}

// functions decide. A rejection has a code for the page and a reason for people.
var functions = []*sharedata.Function{
	sharedata.NewFunction("add", func(ctx context.Context, b board, in struct {
		Title string `json:"title"`
	}) (board, error) {
		title := strings.TrimSpace(in.Title)
		switch {
		case title == "":
			return b, sharedata.RejectWith("title-missing", "A card needs a title.", nil)
		case utf8.RuneCountInString(title) > maxTitle:
			return b, sharedata.RejectWith("title-too-long", fmt.Sprintf("A title has at most %d characters.", maxTitle), nil)
		case len(b.Cards) >= maxCards:
			return b, sharedata.RejectWith("board-full", fmt.Sprintf("A board has at most %d cards.", maxCards), nil)
		}
		b.Cards = append(b.Cards, card{ID: b.NextID, Title: title, Column: "todo", By: callerName(ctx)})
		b.NextID++
		return b.count(ctx, "add")
	}),
	sharedata.NewFunction("move", func(ctx context.Context, b board, in struct {
		ID     int    `json:"id"`
		Column string `json:"column"`
	}) (board, error) {
		i := b.find(in.ID)
		switch {
		case i < 0:
			return b, sharedata.RejectWith("card-gone", "Somebody removed this card.", nil)
		case !slices.Contains(columns, in.Column):
			return b, sharedata.RejectWith("column-unknown", fmt.Sprintf("There is no column %q.", in.Column), nil)
		case b.Cards[i].Column == in.Column:
			return b, sharedata.RejectWith("already-there", "The card is in this column already.", nil)
		case in.Column == "doing" && b.countIn("doing") >= maxDoing:
			return b, sharedata.RejectWith("column-full", fmt.Sprintf("At most %d cards at a time: finish one first.", maxDoing), nil)
		}
		b.Cards[i].Column = in.Column
		return b.count(ctx, "move")
	}),
	sharedata.NewFunction("remove", func(ctx context.Context, b board, id int) (board, error) {
		i := b.find(id)
		if i < 0 {
			return b, sharedata.RejectWith("card-gone", "Somebody removed this card.", nil)
		}
		b.Cards = slices.Delete(b.Cards, i, i+1)
		return b.count(ctx, "remove")
	}),
}

func (b board) find(id int) int {
	return slices.IndexFunc(b.Cards, func(c card) bool { return c.ID == id })
}

func (b board) countIn(column string) (n int) {
	for _, c := range b.Cards {
		if c.Column == column {
			n++
		}
	}
	return n
}

// count counts an act of the caller.
func (b board) count(ctx context.Context, act string) (board, error) {
	name := callerName(ctx)
	if b.People[name] == nil {
		if len(b.People) >= maxNames {
			return b, sharedata.RejectWith("too-many-people", fmt.Sprintf("A board has at most %d people.", maxNames), nil)
		}
		b.People[name] = map[string]int{}
	}
	b.People[name][act]++
	return b, nil
}

func callerName(ctx context.Context) string { return sharedata.CallerFrom(ctx).Subject }
