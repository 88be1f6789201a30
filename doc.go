package provost
