# What examples/subscriber prints is exactly the log, whatever happens to its
# session, to the worker and to the server; or, when it has been away for too
# long, the pairs there are and the log from there on.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StoreTest;
use Test::More;

my $program = 'examples/subscriber';
system('make', '--silent', '-C', 'examples', 'subscriber') unless -x $program;
plan skip_all => "could not build $program" unless -x $program;

my $folder = PostgreSQL::Test::Utils::tempdir;
my $node = store_node('main',
	init => [ allows_streaming => 1 ],
	conf => "restart_after_crash = on\nmax_connections = 30\n");

# Whoever is still running when a test breaks off is to end, too.
my %running;

END
{
	local $?;
	kill 'TERM', keys %running;
}

# Start a subscriber that appends what it prints to a file.
sub start_subscriber
{
	my ($name, $where, @options) = @_;
	my $pid = fork // die "could not fork: $!";

	$running{$pid} = 1;
	return $pid if $pid;
	%running = ();
	open STDOUT, '>>', "$folder/$name" or die $!;
	open STDERR, '>>', "$folder/$name.err" or die $!;
	exec $program, '--database', $where->connstr('postgres') . ' application_name=subscriber',
	  @options or die $!;
}

# Wait for a subscriber to end; its exit code.
sub finish
{
	my ($pid) = @_;

	waitpid $pid, 0;
	delete $running{$pid};
	return $?;
}

sub printed
{
	return -e "$folder/$_[0]" ? slurp_file("$folder/$_[0]") : '';
}

# Stop a subscriber when it has printed a line; its exit code.
sub stop_subscriber
{
	my ($pid, $name, $line) = @_;

	wait_until("$name has printed the last batch", sub { printed($name) =~ /^\Q$line\E$/m });
	kill 'TERM', $pid;
	return finish($pid);
}

sub hex_of
{
	return '\x' . unpack 'H*', $_[0];
}

# What should have been printed of the batches from one on.
sub log_lines
{
	my ($seen, $from, $prefix) = @_;
	my @lines;

	for my $number ($from .. $seen->{current})
	{
		my $batch = $seen->{log}{$number};
		push @lines, map { [ $_->[0], "$number put " . join ' ', map { hex_of($_) } @$_ ] }
		  @{ $batch->{puts} };
		push @lines, map { [ $_, "$number delete " . hex_of($_) ] } @{ $batch->{deletes} };
	}
	return join '', map { "$_->[1]\n" } grep { $_->[0] =~ /^$prefix/ } @lines;
}

# What should have been printed of the pairs that a snapshot shows.
sub pair_lines
{
	my ($seen, $prefix) = @_;
	my $number = $seen->{current};

	return join '', map { "$_\n" } "$number rebuild",
	  (map { "$number pair " . hex_of($_) . ' ' . hex_of($seen->{pairs}{$_}) }
		  grep { /^$prefix/ } sort keys %{ $seen->{pairs} }),
	  "$number rebuilt";
}

# A session, as soon as there can be one.
sub patient_session
{
	return wait_until('there is a session', sub { eval { session($node) } });
}

# Put, delete and roll back until the file "stop" is there.
sub run_writer
{
	my ($number) = @_;

	return fork_client(
		sub {
			srand $number;
			until (-e "$folder/stop")
			{
				my $writer = patient_session();
				1 while !-e "$folder/stop" && eval {
					my @keys = map { "key $number." . int rand 20 } 0 .. rand 3;
					my $way = rand;
					$writer->do('BEGIN');
					$writer->do('SELECT store_put_batch(?::bytea[], ?::bytea[])',
						undef, \@keys, [ map { rand } @keys ])
					  if $way < 0.7;
					$writer->do('SELECT store_delete_batch(?::bytea[])', undef, \@keys)
					  if $way >= 0.7;
					$writer->do(rand() < 0.2 ? 'ROLLBACK' : 'COMMIT');
					1;
				};
			}
		});
}

# A process of the server that pg_stat_activity knows; 0 if the session is gone.
sub process
{
	my ($session, $where) = @_;
	my $sql = "SELECT min(pid) FROM pg_stat_activity WHERE $where";

	return wait_until("there is one: $where",
		sub { my $pid; eval { $pid = value($session, $sql); 1 } ? $pid : '0 but true' });
}

my $listening = q{application_name = 'subscriber' AND query NOT LIKE 'CALL%'};
my $waiting = q{application_name = 'subscriber' AND query LIKE 'CALL%'};
my $worker = q{backend_type = 'storeengine worker'};

# F2 F5
my @writers = map { run_writer($_) } 1 .. 3;
my @subscribers = (
	start_subscriber('listen', $node, '--cursor', "$folder/cursor"),
	start_subscriber('wait', $node, '--wait'));
my $session = session($node);
for my $victim ($listening, $waiting, $worker)
{
	my $before = value($session, 'SELECT store_current_sequence()');

	# A worker may have left by itself before.
	ok(wait_until('it is terminated',
			sub { value($session, 'SELECT pg_terminate_backend(?)', process($session, $victim)) }),
		"terminate $victim");
	wait_until('there is more', sub { value($session, 'SELECT store_current_sequence()') > $before + 50 });
	wait_until(
		'the server has noticed that one is killed',
		sub {
			my $pid = process($session, $victim);
			kill 'KILL', $pid if $pid > 0;
			return !eval { $session->do('SELECT 1') };
		});
	$session = patient_session();
}
$node->stop('immediate');
$node->start;
$session = session($node);
my $before = value($session, 'SELECT store_current_sequence()');
wait_until('there is more', sub { value($session, 'SELECT store_current_sequence()') > $before + 50 });
open my $stop, '>', "$folder/stop" or die $!;
is(wait_clients(@writers), 0, 'the writers end');

my $last = value($session, q{SELECT store_put('key last', 'last')});
wait_complete($session);
my $line = "$last put " . hex_of('key last') . ' ' . hex_of('last');
is(stop_subscriber($subscribers[0], 'listen', $line), 0, 'the one that listens ends cleanly');
is(stop_subscriber($subscribers[1], 'wait', $line), 0, 'the one that waits ends cleanly');
my $seen = snapshot($session);
is(join("\n", problems($seen)), '', "the log of $last batches is complete");
ok(printed('listen') eq log_lines($seen, 1, ''), 'the one that listens printed the log');
ok(printed('wait') eq log_lines($seen, 1, ''), 'the one that waits printed the log');
like(printed('wait.err'), qr/terminating connection|closed the connection/, 'though it lost its connection');
like(slurp_file("$folder/cursor"), qr{^$last [0-9a-f-]{36}\n$}, 'the cursor is saved, with its history');

# F1 F2: killed at any time, it goes on from the cursor it saved.
for my $round (1 .. 20)
{
	my $pid = start_subscriber('killed', $node, '--cursor', "$folder/killed.cursor",
		'--until', $last);
	wait_until('it has begun', sub { -s "$folder/killed" }) if $round == 1;
	kill 'KILL', $pid;
	finish($pid);
}
finish(start_subscriber('killed', $node, '--cursor', "$folder/killed.cursor", '--until', $last));
my %times;
$times{$_}++ for split /\n/, printed('killed');
is(join("\n", grep { !$times{$_} } split /\n/, log_lines($seen, 1, '')), '',
	'killed and started again, it missed nothing');

# F1: of what a prefix selects.
finish(start_subscriber('prefix', $node, '--prefix', 'key 1.', '--from', 10, '--until', $last));
ok(printed('prefix') eq log_lines($seen, 11, 'key 1\.'), 'with a prefix, it printed what begins so');

# F3: evicted while it was away.
value($session, q{SELECT store_put('key away', ?)}, $_) for 1 .. 10;
$session->do(q{SELECT store_delete_batch('{key away}')});
$session->do('SELECT store_prune_batch_log(store_current_sequence())');
my $then = snapshot($session);
my $pid = start_subscriber('listen2', $node, '--cursor', "$folder/cursor");
wait_until('it has started over', sub { printed('listen2') =~ / rebuilt$/m });
my $next = value($session, q{SELECT store_put('key next', '1')});
is(stop_subscriber($pid, 'listen2', "$next put " . hex_of('key next') . ' ' . hex_of('1')),
	0, 'started again, it ends cleanly');
is(printed('listen2'), pair_lines($then, '') . log_lines(snapshot($session), $next, ''),
	'it printed the pairs there are, and the log from there on');
finish(start_subscriber('prefix2', $node, '--prefix', 'key 1.', '--until', 1));
is(printed('prefix2'), pair_lines(snapshot($session), 'key 1\.'), 'with a prefix, the pairs that begin so');

# F2: a standby that has not got as far as the cursor.
$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;
my $reader = session($standby);
$reader->do('SELECT pg_wal_replay_pause()');
wait_until('replay is paused',
	sub { value($reader, 'SELECT pg_get_wal_replay_pause_state()') eq 'paused' });
$last = value($session, q{SELECT store_put('key ahead', ?)}, $_) for 1 .. 5;
$pid = start_subscriber('behind', $standby, '--from', $last - 1, '--until', $last);
wait_until('it waits', sub {
	value($reader, "SELECT true FROM pg_stat_activity WHERE $waiting AND wait_event_type = 'Extension'");
});
is(printed('behind'), '', 'a standby that lags tells nothing again');
$reader->do('SELECT pg_wal_replay_resume()');
is(finish($pid), 0, 'told to go so far, it ends');
is(printed('behind'), log_lines(snapshot($session), $last, ''), 'it goes on when it is there');
is_deeply([ verify($session) ], [], 'store_verify() finds nothing');

done_testing();
