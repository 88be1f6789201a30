package provost_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost"
)

// canaries are secrets that must not appear in any output.
type canaries []string

// next returns a new canary.
func (c *canaries) next() string {
	*c = append(*c, fmt.Sprintf("canary-%02d-tweet", len(*c)+1))
	return (*c)[len(*c)-1]
}

func (c *canaries) secret() provost.Secret[string] { return provost.NewSecret(c.next()) }

// pin returns a new canary that is a number.
func (c *canaries) pin() int {
	n := 7_000_000 + len(*c)
	*c = append(*c, fmt.Sprint(n))
	return n
}

// leaks returns the canaries that a text contains, in clear or in base64.
func (c *canaries) leaks(text string) []string {
	var found []string
	for _, canary := range *c {
		if strings.Contains(text, canary) || strings.Contains(text, base64.StdEncoding.EncodeToString([]byte(canary))) {
			found = append(found, canary)
		}
	}
	return found
}

type login struct {
	User     string                 `json:"user,omitempty"`
	Password provost.Secret[string] `json:"password,omitzero"`
	Legacy   string                 `json:"legacy,omitempty" secret:"true"`
}

type branch struct {
	Key      provost.Secret[string] `json:"key,omitzero"`
	Branches []branch               `json:"branches,omitempty"`
}

// Keys is embedded with the tag.
type Keys struct {
	First  string `json:"first,omitempty"`
	Second int    `json:"second,omitempty"`
}

type vault struct {
	login
	Keys `secret:"true"`

	Token    provost.Secret[string]            `json:"token,omitzero"`
	Password string                            `json:"plain,omitempty" secret:"true" minLength:"3"`
	Bytes    []byte                            `json:"bytes,omitempty" secret:"true"`
	Pin      int                               `json:"pin,omitempty" secret:"true"`
	Quoted   int                               `json:"quoted,omitempty,string" secret:"true"`
	Port     provost.Secret[int]               `json:"port,omitzero" minimum:"1"`
	Sealed   provost.Secret[[]byte]            `json:"sealed,omitzero"`
	Whole    provost.Secret[login]             `json:"whole,omitzero"`
	Pointer  *provost.Secret[string]           `json:"pointer,omitempty"`
	Inner    login                             `json:"inner,omitzero"`
	Behind   *login                            `json:"behind,omitempty"`
	Logins   []login                           `json:"logins,omitempty"`
	ByName   map[string]login                  `json:"by_name,omitempty"`
	List     []provost.Secret[string]          `json:"list,omitempty"`
	Pair     [2]provost.Secret[string]         `json:"pair,omitzero"`
	Map      map[string]provost.Secret[string] `json:"map,omitempty"`
	Texts    []string                          `json:"texts,omitempty" secret:"true"`
	Dict     map[string]string                 `json:"dict,omitempty" secret:"true"`
	Struct   login                             `json:"struct,omitzero" secret:"true"`
	Tree     branch                            `json:"tree,omitzero"`
	Optional *string                           `json:"optional,omitempty" secret:"true"`
	Region   string                            `json:"region,omitempty"`
}

func (c *canaries) login() login {
	return login{User: "ada", Password: c.secret(), Legacy: c.next()}
}

// vault returns a vault with a secret in every place where a type can have one.
func (c *canaries) vault() vault {
	pointer, optional, behind := c.secret(), c.next(), c.login()
	return vault{
		login: c.login(), Keys: Keys{c.next(), c.pin()}, Token: c.secret(), Password: c.next(), Bytes: []byte(c.next()), Pin: c.pin(), Quoted: c.pin(),
		Port: provost.NewSecret(c.pin()), Sealed: provost.NewSecret([]byte(c.next())), Whole: provost.NewSecret(c.login()),
		Pointer: &pointer, Inner: c.login(), Behind: &behind, Logins: []login{c.login(), c.login()},
		ByName: map[string]login{"a": c.login()}, List: []provost.Secret[string]{c.secret(), c.secret()},
		Pair: [2]provost.Secret[string]{c.secret(), c.secret()}, Map: map[string]provost.Secret[string]{"k": c.secret()},
		Texts: []string{c.next(), c.next()}, Dict: map[string]string{"k": c.next()}, Struct: c.login(),
		Tree: branch{Key: c.secret(), Branches: []branch{{Key: c.secret(), Branches: []branch{{Key: c.secret()}}}}}, Optional: &optional, Region: "eu",
	}
}

// output collects everything that people could see.
type output struct {
	t *testing.T
	logBuffer
}

func (o *output) text() string { return strings.Join(o.lines(""), "") }

var verbs = []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X", "%T", "%p", "%t"}

// show writes values in every way there is.
func (o *output) show(values ...any) {
	o.t.Helper()
	handlers := []slog.Handler{
		slog.NewTextHandler(o, &slog.HandlerOptions{Level: slog.LevelDebug}), slog.NewJSONHandler(o, nil),
	}
	for _, v := range values {
		for _, verb := range verbs {
			fmt.Fprintf(o, verb+"\n", v)
		}
		text, err := json.Marshal(v)
		if err != nil {
			o.t.Errorf("marshal %T: %v", v, err)
		}
		o.Write(text)
		for _, handler := range handlers {
			slog.New(handler).Info("shown", "value", v, slog.Group("group", "value", v))
		}
	}
}

// plain writes values that contain unexported times and schedules. It leaves out %#v and %x, which
// are long for those and show nothing more.
func (o *output) plain(values ...any) {
	o.t.Helper()
	for _, v := range values {
		fmt.Fprintf(o, "%v %+v\n", v, v)
		text, err := json.Marshal(v)
		if err != nil {
			o.t.Errorf("marshal %T: %v", v, err)
		}
		o.Write(text)
		slog.New(slog.NewJSONHandler(o, nil)).Info("shown", "value", v)
	}
}

func (o *output) search(c canaries) {
	o.t.Helper()
	for _, canary := range c.leaks(o.text()) {
		before, after, _ := strings.Cut(o.text(), canary)
		o.t.Errorf("%s is shown: %q, %q", canary, before[max(0, len(before)-200):], after[:min(len(after), 60)])
	}
}

// revealedJSON returns a vault as JSON with its secrets in clear.
func revealedJSON(t *testing.T, v vault) string {
	t.Helper()
	text, err := json.Marshal(provost.NewFlow("open", func(context.Context, vault) (any, error) { return nil, nil }).Params(v))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestSecretCanaries plants secrets on every path and searches everything that can be seen for
// them.
func TestSecretCanaries(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var c canaries
		o := &output{t: t}
		given, deployed, scheduled, childs := c.vault(), c.login(), c.vault(), c.login()
		logs := &logBuffer{}
		seen := &counter{}

		child := provost.NewFlow("child", func(ctx context.Context, p login) (login, error) {
			info, _ := provost.RunFromContext(ctx)
			o.show(p.Password, info, info.Parameters)
			provost.Logger(ctx).Info("child got "+p.Password.Reveal(), "legacy", p.Legacy)
			if p.Password.Reveal() == childs.Password.Reveal() && p.Legacy == childs.Legacy {
				seen.add("child")
			}
			return p, fmt.Errorf("child with %s and %s", p.Legacy, p.User)
		})
		var want string
		flow := provost.NewFlow("sync", func(ctx context.Context, p vault) (map[string]any, error) {
			info, _ := provost.RunFromContext(ctx)
			o.show(info, info.Parameters, p.Token, p.List, p.Map, p.Pair, p.Whole, p.Tree)
			client, _ := provost.ClientFromContext(ctx)
			run, err := client.GetRun(ctx, info.ID)
			o.plain(run)
			if err != nil {
				return nil, err
			}
			switch revealedJSON(t, p) {
			case want:
				seen.add("flow")
			case revealedJSON(t, scheduled):
				seen.add("scheduled")
			}
			log := provost.Logger(ctx)
			log.With("with", p.Password).WithGroup(p.Texts[0]).Warn("wrote "+p.Token.Reveal()+" and "+string(p.Bytes),
				"error", fmt.Errorf("refused %q", p.Password), "pin", p.Pin, "struct", p.Struct, "map", p.Dict, "texts", p.Texts,
				"token", p.Token, slog.Group("g", "legacy", p.Legacy, "vault", p), "bytes", p.Bytes, "pointer", &p, "raw", p.Token.Reveal())
			_, err = child.Run(ctx, login{User: "eve", Password: childs.Password, Legacy: childs.Legacy})
			if err == nil {
				t.Error("the child run did not fail")
			}
			switch info.Attempt {
			case 1:
				panic("panic with " + p.Password + " in " + fmt.Sprint(p.Dict))
			case 2:
				return nil, fmt.Errorf("no way with %s: %w", p.Inner.Password.Reveal(), err)
			}
			return map[string]any{
				"url": "https://ada:" + p.Password + "@example.com", "token": p.Token, "logins": p.Logins, "any": any(p.List), p.Legacy: 1, "count": 3,
				"typed": p, "raw": json.RawMessage(`{"x":"` + p.Texts[1] + `"}`), "pin": fmt.Sprint(p.Pin),
			}, nil
		})
		flow.Retries = 2
		flow.OnCompletion = func(_ context.Context, run *provost.Run) error {
			o.show(run.Parameters)
			o.plain(run)
			p, err := flow.Decode(run.Parameters)
			if err != nil || revealedJSON(t, p) != want && revealedJSON(t, p) != revealedJSON(t, scheduled) {
				t.Errorf("the hook decoded other parameters, or failed: %v", err)
			}
			return errors.New("hook with " + p.Password)
		}
		store := provost.NewMemoryStore()
		d := &provost.Deployment{
			Flow: flow, Name: "d", Parameters: provost.Params{"inner": deployed, "region": "us"},
			Schedules: []provost.Schedule{provost.Every(time.Hour).WithParameters(flow.Params(scheduled))},
		}
		client := provost.NewClient(store)
		record, err := client.Deploy(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		o.plain(record)
		stop := start(t, &provost.Runner{Store: store, Logger: logs.logger()}, d)
		want = revealedJSON(t, given)
		run := request(t, client, "sync/d", &provost.RunOptions{Parameters: flow.Params(given)})
		o.plain(run)
		done := wait(t, client, run.ID)
		wantState(t, done, provost.StateCompleted)
		if seen.get("flow") != 3 || seen.get("child") != 3 {
			t.Errorf("the flow saw its secrets %d times, the child run %d times, want 3", seen.get("flow"), seen.get("child"))
		}
		for line, err := range client.Logs(t.Context(), run.ID, nil) {
			o.plain(line)
			if err != nil {
				t.Error(err)
			}
		}
		for _, each := range list(t, client, provost.RunFilter{}) {
			o.plain(each)
			if each.ParentID != uuid.Nil {
				o.plain(get(t, client.RevealSecrets(), each.ID))
				for line, err := range client.Logs(t.Context(), each.ID, nil) {
					o.plain(line, err)
				}
			}
		}
		upcoming, err := client.UpcomingRuns(t.Context(), "sync/d", 3)
		if err != nil || len(upcoming) != 3 {
			t.Error(len(upcoming), err)
		}
		o.plain(upcoming)
		cancelled, err := client.CancelRun(t.Context(), request(t, client, "sync/d", &provost.RunOptions{
			Parameters: flow.Params(given), ScheduledTime: time.Now().Add(time.Hour),
		}).ID, nil)
		if err != nil {
			t.Error(err)
		}
		retried, err := client.RetryRun(t.Context(), cancelled.ID, nil)
		if err != nil {
			t.Error(err)
		}
		o.plain(cancelled, retried, wait(t, client, retried.ID))
		read, err := client.GetDeployment(t.Context(), "sync/d")
		if err != nil {
			t.Fatal(err)
		}
		all, err := client.ListDeployments(t.Context(), provost.DeploymentFilter{})
		if err != nil {
			t.Error(err)
		}
		o.plain(read, all)
		time.Sleep(time.Hour + time.Minute)
		for _, each := range list(t, client, provost.RunFilter{Schedule: read.Schedules[0].Key}) {
			o.plain(each)
		}
		clean(t, stop)
		if seen.get("scheduled") != 3 {
			t.Errorf("the scheduled flow saw its secrets %d times, want 3", seen.get("scheduled"))
		}
		fmt.Fprint(o, strings.Join(logs.lines(""), ""))
		o.search(c)

		if len(c) < 50 {
			t.Errorf("%d canaries, want at least 50", len(c))
		}
		if string(done.Result) == "" || !strings.Contains(string(done.Result), "***") || !strings.Contains(string(done.Result), `"count":3`) {
			t.Errorf("result %s, want one with masks and the count", done.Result)
		}
		if done.Parameters["region"] != "eu" || done.Parameters["token"] != "***" {
			t.Errorf("parameters %v, want region eu and a masked token", done.Parameters)
		}
		wantRevealed(t, client.RevealSecrets(), done.ID, want, flow, deployed, scheduled)
	})
}

func wantRevealed(t *testing.T, client *provost.Client, id uuid.UUID, want string, flow *provost.Flow[vault, map[string]any], deployed login, scheduled vault) {
	t.Helper()
	p, err := flow.Decode(get(t, client, id).Parameters)
	if err != nil || revealedJSON(t, p) != want {
		t.Errorf("revealed parameters %v, error %v", revealedJSON(t, p), err)
	}
	record, err := client.GetDeployment(t.Context(), "sync/d")
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(record)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{deployed.Legacy, deployed.Password.Reveal(), scheduled.Password, scheduled.Token.Reveal()} {
		if !strings.Contains(string(text), secret) {
			t.Errorf("the revealed record does not contain %s", secret)
		}
	}
	upcoming, err := client.UpcomingRuns(t.Context(), "sync/d", 1)
	if err != nil || len(upcoming) != 1 || !strings.Contains(fmt.Sprint(upcoming[0].Parameters), scheduled.Password) {
		t.Errorf("revealed upcoming runs %v, error %v", upcoming, err)
	}
}

// TestSecretBackfill checks the runs that Backfill returns, which it reads in its own way.
func TestSecretBackfill(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var c canaries
		given := c.login()
		store := provost.NewMemoryStore()
		flow := provost.NewAction("f", func(context.Context, login) error { return nil })
		d := &provost.Deployment{
			Flow: flow, Name: "d", Parameters: flow.Params(given), Paused: true,
			Schedules: []provost.Schedule{provost.Every(time.Hour).From(time.Now().Add(-5 * time.Hour)).CatchUp(provost.CatchUpNone)},
		}
		stop := start(t, &provost.Runner{Store: store}, d)
		time.Sleep(3 * time.Hour)
		client := provost.NewClient(store)
		made, err := client.Backfill(t.Context(), "f/d", time.Now().Add(-4*time.Hour), time.Now())
		if err != nil || len(made) == 0 {
			t.Fatal(len(made), err)
		}
		o := &output{t: t}
		o.plain(made)
		o.search(c)
		clean(t, stop)
	})
}

func TestSecretSchema(t *testing.T) {
	client := provost.NewClient(provost.NewMemoryStore())
	record, err := client.Deploy(t.Context(), &provost.Deployment{
		Flow: provost.NewAction("f", func(context.Context, vault) error { return nil }), Name: "d",
	})
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Properties map[string]map[string]any `json:"properties"`
	}
	if err := json.Unmarshal(record.ParameterSchema, &schema); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]map[string]any{
		"token":  {"type": "string", "format": "password", "writeOnly": true},
		"plain":  {"type": "string", "format": "password", "writeOnly": true, "minLength": 3.0},
		"bytes":  {"type": "string", "contentEncoding": "base64", "writeOnly": true},
		"pin":    {"type": "integer", "format": "int64", "writeOnly": true},
		"port":   {"type": "integer", "format": "int64", "writeOnly": true, "minimum": 1.0},
		"region": {"type": "string"},
	} {
		got := schema.Properties[name]
		delete(got, "position")
		if !maps.EqualFunc(got, want, func(a, b any) bool { return reflect.DeepEqual(a, b) }) {
			t.Errorf("schema of %s = %v, want %v", name, got, want)
		}
	}
}

// TestSecretRefusals checks that refusals name a path and a reason, and contain no part of the
// secret.
func TestSecretRefusals(t *testing.T) {
	flow := provost.NewAction("f", func(context.Context, vault) error { return nil })
	client := provost.NewClient(provost.NewMemoryStore())
	if _, err := client.Deploy(t.Context(), &provost.Deployment{Flow: flow, Name: "d"}); err != nil {
		t.Fatal(err)
	}
	const canary = "canary-in-a-refusal"
	long := json.Number(strings.Repeat("7", 50))
	tests := []struct {
		name   string
		p      provost.Params
		path   string
		reason string
	}{
		{"mask", provost.Params{"token": "***"}, "token", "leave token out"},
		{"mask of a number", provost.Params{"pin": "***"}, "pin", "or send the value"},
		{"mask inside", provost.Params{"inner": map[string]any{"password": "***"}}, "inner.password", "leave inner out"},
		{"mask in a list", provost.Params{"logins": []any{map[string]any{"legacy": "***"}}}, "logins[0].legacy", "leave logins out"},
		{"mask in a map", provost.Params{"map": map[string]any{"a.b": "***"}}, `map["a.b"]`, "leave map out"},
		{"mask in a tree", provost.Params{"tree": map[string]any{"branches": []any{map[string]any{"key": "***"}}}}, "tree.branches[0].key", "leave tree out"},
		{"type", provost.Params{"pin": canary}, "pin", "expected a whole number"},
		{"another type", provost.Params{"token": []any{canary}}, "token", "expected text"},
		{"number for text", provost.Params{"token": 7654321}, "token", "expected text"},
		{"length", provost.Params{"plain": "7z"}, "plain", "at least 3 characters"},
		{"minimum", provost.Params{"port": -7654321}, "port", "at least 1"},
		{"long number", provost.Params{"pin": long}, "pin", "limit is 40"},
		{"base64", provost.Params{"bytes": canary + "!"}, "bytes", "the format byte"},
		{"inside a secret", provost.Params{"dict": map[string]any{canary: 7654321}}, "dict", "expected text"},
		{"inside a secret list", provost.Params{"texts": []any{7654321}}, "texts", "expected text"},
		{"inside a secret struct", provost.Params{"whole": map[string]any{"user": 7654321}}, "whole", "expected text"},
		{"in place of what has it", provost.Params{"inner": canary}, "inner", "expected an object"},
		{"bare", provost.Params{"region": provost.NewSecret(canary)}, "region", "as a Secret"},
		{"bare inside", provost.Params{"inner": map[string]any{"user": provost.NewSecret(canary)}}, "inner.user", "as a Secret"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := client.RunDeployment(t.Context(), "f/d", &provost.RunOptions{Parameters: test.p})
			wantRefused(t, err, test.path, test.reason)
			if strings.HasPrefix(test.reason, "leave") || strings.HasPrefix(test.reason, "or send") || strings.HasPrefix(test.reason, "as a") {
				return
			}
			_, err = flow.Decode(test.p)
			if err != nil {
				wantRefused(t, err, "", "")
			}
		})
	}
	_, err := flow.Decode(provost.Params{"token": "***"})
	wantRefused(t, err, "token", "RevealSecrets")

	err = (&provost.Deployment{Flow: flow, Name: "d", Parameters: provost.Params{"pin": canary, "token": 7654321}}).Validate()
	wantRefused(t, err, "", "expected text")
	err = (&provost.Deployment{Flow: flow, Name: "d", Parameters: provost.Params{"token": "***"}}).Validate()
	wantRefused(t, err, "token", "leave token out")
	masked := provost.Every(time.Hour).WithParameters(provost.Params{"token": "***"})
	err = (&provost.Deployment{Flow: flow, Name: "d", Schedules: []provost.Schedule{masked}}).Validate()
	wantRefused(t, err, "token", "leave token out")
}

func wantRefused(t *testing.T, err error, path, reason string) {
	t.Helper()
	refused, ok := errors.AsType[*provost.ParamError](err)
	if !ok {
		t.Fatalf("error %v is not a ParamError", err)
	}
	if path != "" && refused.Path != path {
		t.Errorf("path %q, want %q: %v", refused.Path, path, err)
	}
	if !strings.Contains(err.Error(), reason) {
		t.Errorf("error %v does not contain %q", err, reason)
	}
	for _, secret := range []string{"canary", "765", "777", "7z"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("error %v shows the secret", err)
		}
	}
}

// TestSecretDeclarations checks that types and schemas that would expose secrets are refused.
func TestSecretDeclarations(t *testing.T) {
	type withDefault struct {
		Token string `json:"token" secret:"true" default:"canary"`
	}
	type sealedDefault struct {
		Token provost.Secret[string] `json:"token" default:"canary"`
	}
	type typo struct {
		Token string `json:"token" secret:"yes"`
	}
	nothing := json.RawMessage(`{"properties":{"token":{"type":"string"}}}`)
	enough := json.RawMessage(`{"properties":{"token":{"writeOnly":true}}}`)
	inside := json.RawMessage(`{"properties":{"logins":{"items":{"properties":{"password":{"writeOnly":true}}}}}}`)
	type tokens struct {
		Token provost.Secret[string] `json:"token"`
	}
	type lists struct {
		Logins []login `json:"logins"`
	}
	tests := []struct {
		name   string
		flow   provost.AnyFlow
		schema json.RawMessage
		parts  []string // parts of the error; nil if there is none
	}{
		{"default", action[withDefault](), nil, []string{"token", "can be read in the schema"}},
		{"default of a Secret", action[sealedDefault](), nil, []string{"token", "can be read in the schema"}},
		{"tag", action[typo](), nil, []string{"token", `secret "yes": write true or false`}},
		{"schema that shows", action[tokens](), nothing, []string{"ParameterSchema", "token", `"writeOnly": true`}},
		{"schema that hides", action[tokens](), enough, nil},
		{"schema that shows inside", action[lists](), inside, []string{"logins[].legacy", `"writeOnly": true`}},
		{"default in a schema", action[provost.Params](), json.RawMessage(`{"properties":{"a":{"format":"password","default":"x"}}}`), []string{"can be read"}},
		{"default around a secret", action[provost.Params](), json.RawMessage(`{"default":{"a":"x"},"properties":{"a":{"writeOnly":true}}}`), []string{"can be read"}},
		{"flag", action[provost.Params](), json.RawMessage(`{"properties":{"a":{"writeOnly":"x"}}}`), []string{"expected true or false"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := (&provost.Deployment{Flow: test.flow, Name: "d", ParameterSchema: test.schema}).Validate()
			if test.parts == nil {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantError(t, err, test.parts...)
			if err != nil && strings.Contains(err.Error(), "canary") {
				t.Errorf("error %v shows the secret", err)
			}
		})
	}
}

func action[P any]() provost.AnyFlow {
	return provost.NewAction("f", func(context.Context, P) error { return nil })
}

// TestSecretsWithoutSchema checks that parameters are masked if there is no schema to judge them
// by.
func TestSecretsWithoutSchema(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const canary = "canary"
		type before struct {
			Region string                 `json:"region"`
			Token  provost.Secret[string] `json:"token"`
		}
		type after struct {
			Region string `json:"region"`
		}
		client := provost.NewClient(provost.NewMemoryStore())
		deploy := func(flow provost.AnyFlow) {
			if _, err := client.Deploy(t.Context(), &provost.Deployment{Flow: flow, Name: "d"}); err != nil {
				t.Fatal(err)
			}
		}
		deploy(action[before]())
		run := request(t, client, "f/d", &provost.RunOptions{Parameters: provost.Params{"region": "eu", "token": canary}})
		check := func(region string) {
			t.Helper()
			p := get(t, client, run.ID).Parameters
			if p["region"] != region || p["token"] != "***" {
				t.Errorf("parameters %v, want region %s and a masked token", p, region)
			}
			if p := get(t, client.RevealSecrets(), run.ID).Parameters; p["token"] != canary {
				t.Errorf("revealed parameters %v, want token %s", p, canary)
			}
		}
		check("eu")
		deploy(action[after]()) // the run was made for another schema
		check("eu")
		if _, err := client.CancelRun(t.Context(), run.ID, nil); err != nil {
			t.Fatal(err)
		}
		if err := client.DeleteDeployment(t.Context(), "f/d"); err != nil {
			t.Fatal(err)
		}
		check("***")
	})
}

// TestSecretResult checks that a result contains nothing of a secret.
func TestSecretResult(t *testing.T) {
	bubble(t, func(t *testing.T) {
		type issued struct {
			Token provost.Secret[int] `json:"token"`
			Pin   int                 `json:"pin" secret:"true"`
			Name  string              `json:"name"`
		}
		flow := provost.NewFlow("issue", func(context.Context, provost.None) (issued, error) {
			return issued{provost.NewSecret(12345), 67890, "ada"}, nil
		})
		store := provost.NewMemoryStore()
		stop := start(t, &provost.Runner{Store: store}, &provost.Deployment{Flow: flow, Name: "d"})
		run := runNow(t, provost.NewClient(store).RevealSecrets(), "issue/d", nil)
		if want := `{"name":"ada","pin":"***","token":"***"}`; string(run.Result) != want {
			t.Errorf("result %s, want %s", run.Result, want)
		}
		got, err := flow.Result(run)
		if err != nil || got.Name != "ada" || got.Token.Reveal() != 0 || got.Pin != 0 {
			t.Errorf("Result = %+v, %v, want only the name", got, err)
		}
		clean(t, stop)
	})
}

// TestSecretsOfMaps checks secrets that only a schema declares.
func TestSecretsOfMaps(t *testing.T) {
	bubble(t, func(t *testing.T) {
		flow := provost.NewAction("f", func(ctx context.Context, p provost.Params) error {
			provost.Logger(ctx).Info("got", "token", p["token"], "other", p["other"])
			return fmt.Errorf("with %v", p["token"])
		})
		store := provost.NewMemoryStore()
		stop := start(t, &provost.Runner{Store: store}, &provost.Deployment{
			Flow: flow, Name: "d", SkipParameterValidation: true,
			ParameterSchema: json.RawMessage(`{"type":"object","properties":{"token":{"writeOnly":true}}}`),
		})
		client := provost.NewClient(store)
		run := runNow(t, client, "f/d", provost.Params{"token": provost.NewSecret("canary"), "other": 7})
		wantState(t, run, provost.StateFailed, "with ***")
		if run.Parameters["token"] != "***" || run.Parameters["other"] != json.Number("7") {
			t.Errorf("parameters %v, want a masked token and other 7", run.Parameters)
		}
		for line, err := range client.Logs(t.Context(), run.ID, nil) {
			if err != nil || line.Message != "got token=*** other=7" {
				t.Errorf("got line %q, error %v", line.Message, err)
			}
		}
		clean(t, stop)
	})
}

// TestSecretsOfChildRun checks that the secrets of a child run are masked from the moment it
// starts, also in what its parent passed to its logger before.
func TestSecretsOfChildRun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		child := provost.NewFlow("child", func(_ context.Context, p provost.Params) (string, error) {
			s := p["token"].(string)
			return s, nil
		})
		parent := provost.NewFlow("parent", func(ctx context.Context, _ provost.None) (string, error) {
			log := provost.Logger(ctx).With("early", "canary")
			got, err := child.Run(ctx, provost.Params{"token": "canary", "other": provost.NewSecret("canary")})
			log.Info("after")
			if got != "canary" {
				t.Errorf("the child run returned %q, want canary", got)
			}
			return got, err
		})
		store := provost.NewMemoryStore()
		stop := start(t, &provost.Runner{Store: store}, &provost.Deployment{Flow: parent, Name: "d"})
		client := provost.NewClient(store).RevealSecrets()
		run := runNow(t, client, "parent/d", nil)
		if string(run.Result) != `"***"` {
			t.Errorf("result %s, want \"***\"", run.Result)
		}
		for line, err := range client.Logs(t.Context(), run.ID, nil) {
			if err != nil || line.Message != "after early=***" {
				t.Errorf("got line %q, error %v", line.Message, err)
			}
		}
		children := list(t, client, provost.RunFilter{ParentID: run.ID})
		if len(children) != 1 || children[0].Parameters["other"] != "***" || string(children[0].Result) != `"***"` {
			t.Errorf("child runs %+v, want one with masks", children)
		}
		clean(t, stop)
	})
}
