# A primary that was failed over, and has gone on by itself for a while, is
# rewound and follows the new one: it has that one's batches and history then,
# and can become the primary again.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use File::Copy qw(copy);
use PostgreSQL::Test::Utils;
use StoreTest;
use Test::More;

my $folder = PostgreSQL::Test::Utils::tempdir;

# Write for a while, from two sessions, one of whose transactions stay open.
sub write_for_a_while
{
	my ($node, $name) = @_;
	my $session = session($node);
	my $open = session($node);
	my $turns = 0;

	$open->do('BEGIN');
	$open->do('SELECT store_put(?, ?)', undef, "$name open", '');
	write_at_random($session, $name, sub { $turns++ == 20 }, sub { });
	return $open;
}

# Make a server that was stopped, or has crashed, a standby of another.
sub rewind
{
	my ($node, $source) = @_;
	my $conf = $node->data_dir . '/postgresql.conf';

	# It would be that of the source.
	copy($conf, "$folder/conf") or die $!;
	$source->safe_psql('postgres', 'CHECKPOINT');
	# Processes of a server that was killed may be in the way for a moment.
	wait_until(
		'it is rewound',
		sub {
			run_log(
				[
					'pg_rewind', '--target-pgdata', $node->data_dir,
					'--source-server', $source->connstr('postgres'),
					'--config-file', "$folder/conf", '--no-sync'
				]);
		});
	copy("$folder/conf", $conf) or die $!;
	$node->enable_streaming($source);
	$node->start;
	return;
}

for my $end ('fast', 'crash')
{
	my $primary = store_node("primary_$end",
		init => [ allows_streaming => 1 ],
		conf => "wal_log_hints = on\nwal_keep_size = 64MB\n");
	my $standby = standby_of($primary, "standby_$end");
	my (%stays, %strays);

	# Both have this; then they part.
	write_for_a_while($primary, 'both')->do('COMMIT');
	my $old = session($primary);
	my $before = wait_complete($old);
	$primary->wait_for_catchup($standby);
	is(read_on($old, \%stays), '', "$end: a subscriber");
	$standby->promote;
	my $new = session($standby);

	my $open = write_for_a_while($primary, 'stray');
	$old->do(q{SELECT store_prune_batch_log(10)}) if $end eq 'crash';
	%strays = (%stays, read => { %{ $stays{read} } });
	$old->do(q{SELECT store_put('astray', ?)}, undef, $_) for 1 .. 40;
	$open->do('COMMIT');
	wait_complete($old);
	is(read_on($old, \%strays), '', "$end: another one reads what goes astray");
	write_for_a_while($standby, 'new')->do('ROLLBACK');
	cmp_ok(wait_complete($new), '>', $before, "$end: they have parted");

	$open = write_for_a_while($primary, 'at the end');
	$_->disconnect for $old, $end eq 'fast' ? $open : ();
	$end eq 'fast' ? $primary->stop('fast') : $primary->kill9;
	rewind($primary, $standby);

	# New writes arrive there, too.
	write_for_a_while($standby, 'newer')->do('COMMIT');
	my $last = wait_complete($new);
	$standby->wait_for_catchup($primary);
	$old = session($primary);
	my $seen = snapshot($old);
	is(join("\n", problems($seen)), '', "$end: the rewound server's log is complete");
	is_deeply($seen, snapshot($new), "$end: it has the batches and pairs of the new primary");
	is($seen->{current}, $last, "$end: all of them");
	is(value($old, 'SELECT store_history()'), value($new, 'SELECT store_history()'),
		"$end: and its history");
	is(value($old, "SELECT count(*) FROM store_kv WHERE key = 'astray'"), 0, "$end: nothing has stayed");

	# F3
	is(read_on($old, \%strays), 'SE004', "$end: who has read what is undone is told");
	is(read_on($old, \%stays), '', "$end: who has not goes on, there");
	is($stays{number}, $last, "$end: to the end");

	# And back: a clean change of roles.
	$new->disconnect;
	$standby->stop('fast');
	$primary->promote;
	is(read_on($old, \%stays), '', "$end: the subscriber stays");
	write_for_a_while($primary, 'last')->do('ROLLBACK');
	cmp_ok(wait_complete($old), '>', $last, "$end: the first primary again, numbers go on");
	is(read_on($old, \%stays), '', "$end: as does the subscriber");
	is(read_on($old, \%strays), 'SE004', "$end: the other one is still told");
	$seen = snapshot($old);
	is(join("\n", problems($seen)), '', "$end: all is well");
	is(join(' ', unlike_log(\%stays, $seen)), '', "$end: nothing was skipped, nothing is another");

	# The one that was stopped in order follows without a rewind.
	$standby->enable_streaming($primary);
	$standby->start;
	$primary->wait_for_catchup($standby);
	is_deeply(snapshot(session($standby)), $seen, "$end: the other follows");
	is_deeply([ map { verify($_) } $old, session($standby) ], [], "$end: store_verify() finds nothing");
}

done_testing();
