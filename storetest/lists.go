package storetest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/provost-go/provost/store"
)

// listed returns the IDs of the runs that a filter selects, in order.
func (f *fixture) listed(filter store.RunFilter) []uuid.UUID {
	f.Helper()
	var list []uuid.UUID
	for _, r := range f.runs(filter) {
		list = append(list, r.ID)
	}
	return list
}

// walk reads a list page by page, and calls between after each page but the last.
func (f *fixture) walk(filter store.RunFilter, between func()) []uuid.UUID {
	f.Helper()
	var list []uuid.UUID
	for range 100 {
		page, err := f.store.ListRuns(f.ctx, filter)
		f.must(err)
		if len(page.Items) > filter.Limit {
			f.Errorf("got a page of %d runs, want at most %d", len(page.Items), filter.Limit)
		}
		for _, r := range page.Items {
			list = append(list, r.ID)
		}
		if page.Next == "" {
			return list
		}
		filter.Cursor = page.Next
		between()
	}
	f.Fatal("got 100 pages, want the list to end")
	return nil
}

// inOrder makes runs with ascending IDs. due is when each is due, in seconds after the base time.
func (f *fixture) inOrder(d *store.DeploymentRecord, due ...int) []uuid.UUID {
	f.Helper()
	var list []uuid.UUID
	for i, seconds := range due {
		p := byHand(f.at(time.Duration(i)*time.Second), d)
		p.DueTime = f.at(time.Duration(seconds) * time.Second)
		list = append(list, f.create(p).ID)
	}
	return list
}

func reversed[T any](list []T) []T {
	c := slices.Clone(list)
	slices.Reverse(c)
	return c
}

var listCases = []testCase{
	{
		"Filters", "ListRuns lists the runs that satisfy every field of the filter, and CountRuns counts them",
		func(f *fixture) {
			a := f.deploy("a", withSchedule, func(r *store.DeploymentRecord) { r.Tags = []string{"red"} })
			b := f.deploy("b", func(r *store.DeploymentRecord) {
				r.Flow, r.FlowID, r.ID = "other", store.FlowID("other"), store.DeploymentID("other", "b")
			})
			r := f.serve(f.base, b)
			f.serve(f.base, a)
			f.plan(f.base, a, f.at(2*time.Hour))
			scheduled := f.listed(store.RunFilter{})[0]
			p := byHand(f.at(time.Second), a)
			p.Tags = []string{"blue"}
			tagged := f.create(p).ID
			claimedRun := f.createNow(f.at(2*time.Second), b).ID
			c := f.claimOne(f.at(2*time.Second), r, longTTL)
			child := f.createChild(f.at(3*time.Second), c.Lease).ID
			for _, check := range []struct {
				what   string
				filter store.RunFilter
				want   []uuid.UUID
			}{
				{"everything", store.RunFilter{}, []uuid.UUID{scheduled, tagged, claimedRun, child}},
				{"DeploymentID", store.RunFilter{DeploymentID: a.ID}, []uuid.UUID{scheduled, tagged}},
				{"unknown DeploymentID", store.RunFilter{DeploymentID: uuid.New()}, nil},
				{"Flow", store.RunFilter{Flow: "other"}, []uuid.UUID{claimedRun}},
				{"Flow of a child run", store.RunFilter{Flow: "inner"}, []uuid.UUID{child}},
				{"Schedule", store.RunFilter{Schedule: "hourly"}, []uuid.UUID{scheduled}},
				{"ParentID", store.RunFilter{ParentID: claimedRun}, []uuid.UUID{child}},
				{"one state", store.RunFilter{States: []store.StateType{store.StateScheduled}}, []uuid.UUID{scheduled, tagged}},
				{"two states", store.RunFilter{States: []store.StateType{store.StatePending, store.StateRunning}}, []uuid.UUID{claimedRun, child}},
				{"StateName", store.RunFilter{StateName: "Pending"}, []uuid.UUID{claimedRun}},
				{"a tag", store.RunFilter{Tags: []string{"red"}}, []uuid.UUID{scheduled, tagged}},
				{"all tags", store.RunFilter{Tags: []string{"blue", "red"}}, []uuid.UUID{tagged}},
				{"After", store.RunFilter{After: f.at(2 * time.Hour)}, []uuid.UUID{scheduled}},
				{"Before", store.RunFilter{Before: f.at(2 * time.Second)}, []uuid.UUID{tagged}},
				{"two fields", store.RunFilter{Tags: []string{"red"}, Before: f.at(time.Hour)}, []uuid.UUID{tagged}},
			} {
				for _, sort := range []store.RunSort{store.NewestFirst, store.OldestFirst, store.SoonestDue, store.LatestEnded} {
					check.filter.Sort = sort
					got := f.listed(check.filter)
					if !sameSet(got, check.want) {
						f.Errorf("%s, sort %q: got %v, want %v", check.what, sort, got, check.want)
					}
				}
				n, err := f.store.CountRuns(f.ctx, check.filter)
				f.must(err)
				expect(f, "count by "+check.what, n, len(check.want))
			}
		},
	},
	{
		"FilterByHandle", "ListRuns and CountRuns select by Deployment, a handle, as by DeploymentID",
		func(f *fixture) {
			a, b := f.deploy("a"), f.deploy("b")
			want := f.inOrder(a, 1, 2, 3)
			f.inOrder(b, 1, 2)
			for _, check := range []struct {
				what   string
				filter store.RunFilter
				want   []uuid.UUID
			}{
				{"a handle", store.RunFilter{Deployment: "etl/a"}, want},
				{"a handle and its ID", store.RunFilter{Deployment: "etl/a", DeploymentID: a.ID}, want},
				{"a handle that no deployment has", store.RunFilter{Deployment: "etl/none"}, nil},
				{"the handle of another flow", store.RunFilter{Deployment: "other/a"}, nil},
			} {
				check.filter.Sort = store.OldestFirst
				expectSame(f, check.what, f.listed(check.filter), check.want...)
				n, err := f.store.CountRuns(f.ctx, check.filter)
				f.must(err)
				expect(f, "count by "+check.what, n, len(check.want))
				check.filter.Limit = 2
				expectSame(f, "pages by "+check.what, f.walk(check.filter, func() {}), check.want...)
			}
		},
	},
	{
		"BadHandle", "a malformed handle is an error, and so are a handle and an ID of two deployments; the error names them",
		func(f *fixture) {
			a := f.deploy("a", withSchedule)
			f.serve(f.base, a)
			f.createNow(f.base, a)
			f.skip(f.at(time.Hour), a, store.SkipMissed, f.at(time.Hour), f.at(time.Hour))
			check := func(handle string, id uuid.UUID, named ...string) {
				_, listErr := f.store.ListRuns(f.ctx, store.RunFilter{Deployment: handle, DeploymentID: id})
				_, countErr := f.store.CountRuns(f.ctx, store.RunFilter{Deployment: handle, DeploymentID: id})
				_, skipErr := f.store.ListSkips(f.ctx, store.SkipFilter{Deployment: handle, DeploymentID: id})
				for call, err := range map[string]error{"ListRuns": listErr, "CountRuns": countErr, "ListSkips": skipErr} {
					if err == nil {
						f.Errorf("%s of handle %q and ID %s: got no error", call, handle, id)
						continue
					}
					for _, name := range named {
						if !strings.Contains(err.Error(), name) {
							f.Errorf("%s of handle %q and ID %s: got error %q, want it to name %s", call, handle, id, err, name)
						}
					}
				}
			}
			for _, handle := range []string{"etl", "/a", "etl/", "/"} {
				check(handle, uuid.Nil, handle)
				check(handle, a.ID, handle)
			}
			other := store.DeploymentID("etl", "b")
			check("etl/a", other, "etl/a", other.String())
			check("etl/b", a.ID, "etl/b", a.ID.String())
		},
	},
	{
		"CountWithoutLimit", "CountRuns counts what ListRuns would list without a limit",
		func(f *fixture) {
			d := f.deploy("a")
			f.inOrder(d, 1, 2, 3)
			n, err := f.store.CountRuns(f.ctx, store.RunFilter{DeploymentID: d.ID, Limit: 1})
			f.must(err)
			expect(f, "count", n, 3)
			n, err = f.store.CountRuns(f.ctx, store.RunFilter{Limit: 1})
			f.must(err)
			expect(f, "count of all", n, 3)
		},
	},
	{
		"SortByID", "NewestFirst and OldestFirst order by ID, that is, by creation",
		func(f *fixture) {
			made := f.inOrder(f.deploy("a"), 3, 1, 2)
			expectSame(f, "oldest first", f.listed(store.RunFilter{Sort: store.OldestFirst}), made...)
			expectSame(f, "newest first", f.listed(store.RunFilter{}), reversed(made)...)
		},
	},
	{
		"SoonestDue", "SoonestDue orders by DueTime, equal ones by ID",
		func(f *fixture) {
			made := f.inOrder(f.deploy("a"), 9, 5, 9, 1)
			expectSame(f, "soonest due", f.listed(store.RunFilter{Sort: store.SoonestDue}), made[3], made[1], made[0], made[2])
		},
	},
	{
		"LatestEnded", "LatestEnded orders by EndTime, latest first; unfinished runs come first, equal ones by descending ID",
		func(f *fixture) {
			d := f.deploy("a")
			made := f.inOrder(d, 1, 1, 1, 1)
			f.cancel(f.at(2*time.Hour), made[0])
			f.cancel(f.at(time.Hour), made[2])
			want := []uuid.UUID{made[3], made[1], made[0], made[2]}
			expectSame(f, "latest ended", f.listed(store.RunFilter{Sort: store.LatestEnded}), want...)
			expectSame(f, "in pages", f.walk(store.RunFilter{Sort: store.LatestEnded, Limit: 1}, func() {}), want...)
		},
	},
	{
		"Pages", "in each order, pages neither repeat nor miss a run, and stay in place while runs are added",
		func(f *fixture) {
			d := f.deploy("a")
			f.inOrder(d, 5, 3, 3, 4, 1, 3, 2)
			for _, sort := range []store.RunSort{store.NewestFirst, store.OldestFirst, store.SoonestDue, store.LatestEnded} {
				for limit := 1; limit <= 4; limit++ {
					want := f.listed(store.RunFilter{Sort: sort})
					n := 0
					got := f.walk(store.RunFilter{Sort: sort, Limit: limit}, func() {
						if n++; n > 2 {
							return
						}
						p := byHand(f.at(time.Hour), d) // newer than all before, and due later
						p.DueTime = f.at(24 * time.Hour)
						f.create(p)
					})
					got = slices.DeleteFunc(got, func(id uuid.UUID) bool { return !slices.Contains(want, id) })
					if !slices.Equal(got, want) {
						f.Errorf("sort %q, pages of %d:\n got %v\nwant %v", sort, limit, got, want)
					}
				}
			}
		},
	},
	{
		"PagesOfFilter", "every page satisfies the filter, and the last has no cursor",
		func(f *fixture) {
			a, b := f.deploy("a"), f.deploy("b")
			want := f.inOrder(a, 1, 2, 3, 4)
			f.inOrder(b, 1, 2, 3)
			got := f.walk(store.RunFilter{DeploymentID: a.ID, Sort: store.OldestFirst, Limit: 2}, func() {})
			expectSame(f, "runs", got, want...)
			page, err := f.store.ListRuns(f.ctx, store.RunFilter{DeploymentID: a.ID, Limit: 4})
			f.must(err)
			expect(f, "cursor of the only page", page.Next, "")
		},
	},
	{
		"PageSize", "a page has DefaultPage items unless the filter sets a Limit, and never more than MaxPage",
		func(f *fixture) {
			d := f.deploy("a")
			for range store.MaxPage + 1 {
				f.createNow(f.base, d)
			}
			expect(f, "default page", len(f.runs(store.RunFilter{})), 200)
			expect(f, "largest page", len(f.runs(store.RunFilter{Limit: 5 * store.MaxPage})), store.MaxPage)
		},
	},
	{
		"BadCursor", "a cursor that is not from a page, and an unknown sort, are errors",
		func(f *fixture) {
			if _, err := f.store.ListRuns(f.ctx, store.RunFilter{Cursor: "no such cursor"}); err == nil {
				f.Error("ListRuns: got no error for a bad cursor")
			}
			if _, err := f.store.ListSkips(f.ctx, store.SkipFilter{Cursor: "no such cursor"}); err == nil {
				f.Error("ListSkips: got no error for a bad cursor")
			}
			if _, err := f.store.ListDeployments(f.ctx, store.DeploymentFilter{Cursor: "no such cursor"}); err == nil {
				f.Error("ListDeployments: got no error for a bad cursor")
			}
			if _, err := f.store.ListRuns(f.ctx, store.RunFilter{Sort: "sideways"}); err == nil {
				f.Error("ListRuns: got no error for a bad sort")
			}
		},
	},
	{
		"Deployments", "deployments are listed by flow and name, by filter and in pages",
		func(f *fixture) {
			otherFlow := func(r *store.DeploymentRecord) {
				r.Flow, r.FlowID, r.ID = "etl-b", store.FlowID("etl-b"), store.DeploymentID("etl-b", "0")
			}
			f.deploy("c", func(r *store.DeploymentRecord) { r.Tags = []string{"red", "blue"} })
			f.deploy("a", func(r *store.DeploymentRecord) { r.Tags = []string{"red"} })
			f.deploy("0", otherFlow)
			paused := f.deploy("b")
			f.pause(f.base, paused, "", yes())
			for _, check := range []struct {
				filter store.DeploymentFilter
				want   []string
			}{
				{store.DeploymentFilter{}, []string{"etl/a", "etl/b", "etl/c", "etl-b/0"}},
				{store.DeploymentFilter{Flow: "etl-b"}, []string{"etl-b/0"}},
				{store.DeploymentFilter{Tags: []string{"red"}}, []string{"etl/a", "etl/c"}},
				{store.DeploymentFilter{Tags: []string{"red", "blue"}}, []string{"etl/c"}},
				{store.DeploymentFilter{Paused: yes()}, []string{"etl/b"}},
				{store.DeploymentFilter{Paused: no(), Flow: "etl"}, []string{"etl/a", "etl/c"}},
			} {
				for _, limit := range []int{0, 1, 2} {
					check.filter.Limit, check.filter.Cursor = limit, ""
					var got []string
					for {
						page, err := f.store.ListDeployments(f.ctx, check.filter)
						f.must(err)
						for _, d := range page.Items {
							got = append(got, d.Handle())
						}
						if check.filter.Cursor = page.Next; page.Next == "" {
							break
						}
					}
					expectSame(f, fmt.Sprintf("pages of %d", limit), got, check.want...)
				}
			}
		},
	},
	{
		"Flows", "flows are listed by name and in pages, including those of child runs",
		func(f *fixture) {
			c := f.logging()
			f.createChild(f.base, c.Lease)
			page, err := f.store.ListFlows(f.ctx, store.FlowFilter{Limit: 1})
			f.must(err)
			expect(f, "first", page.Items[0].Name, "etl")
			expectTime(f, "created", page.Items[0].Created, f.base)
			page, err = f.store.ListFlows(f.ctx, store.FlowFilter{Limit: 1, Cursor: page.Next})
			f.must(err)
			expect(f, "second", page.Items[0].Name, "inner")
			expect(f, "cursor of the last page", page.Next, "")
		},
	},
}

func sameSet(a, b []uuid.UUID) bool {
	if len(a) != len(b) {
		return false
	}
	for _, id := range a {
		if !slices.Contains(b, id) {
			return false
		}
	}
	return true
}
