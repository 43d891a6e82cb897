# F2: subscribers that join while writers are at full speed miss nothing and
# get nothing twice or out of order, from what is in the log already to what
# is just being written, each with filters of its own.

use strict;
use warnings;

use FindBin;
use IO::Select;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use StoreTest;
use Test::More;

my $batches = $ENV{STOREENGINE_BATCHES} // 100_000;
my $folder = PostgreSQL::Test::Utils::tempdir;
my $node = store_node('main', conf => "max_wal_size = 2GB\n");
my $session = session($node);

# In SQL what a filter is, and in Perl what it lets through.
my %filters = (
	even => {
		sql => q{ARRAY[('w1/', '^[0-9]*[02468]$'), ('w2/', '^[0-9]*[02468]$')]::store_selector[], NULL},
		passes => sub { $_[1] =~ m{^w[12]/[0-9]*[02468]$} }
	},
	hot => {
		sql => q{NULL, ARRAY[('prefix', 'hot'), ('exact', 'cold 7')]::store_filter[]},
		passes => sub { $_[0] eq 'delete' || $_[2] =~ /^hot|^cold 7$/ }
	},
	deletes => {
		sql => q{NULL, ARRAY[('exact', 'never')]::store_filter[]},
		passes => sub { $_[0] eq 'delete' }
	});

# Write as fast as possible: some are rolled back, some are deletes, some put
# two pairs.
sub run_writer
{
	my ($number) = @_;
	my $turns = $batches / 4;

	return fork_client(
		sub {
			session($node)->do(qq{
				DO \$\$
				DECLARE
					k bytea;
				BEGIN
					PERFORM setseed(0.$number);
					FOR i IN 1 .. $turns LOOP
						k := convert_to('w$number/' || (random() * 1000)::int, 'UTF8');
						CASE (random() * 10)::int
							WHEN 0 THEN PERFORM store_delete_batch(ARRAY[k]);
							WHEN 1 THEN PERFORM store_put_batch(ARRAY[k, k || '0'], ARRAY['hot', 'cold 7']::bytea[]);
							ELSE PERFORM store_put(k, convert_to('cold ' || i, 'UTF8'));
						END CASE;
						IF random() < 0.05 THEN ROLLBACK; ELSE COMMIT; END IF;
					END LOOP;
				END\$\$});
		});
}

# Wait for news in one of the two ways.
sub listen_for
{
	my ($who, $cursor) = @_;
	my $select = IO::Select->new($who->{pg_socket});

	return if $who->pg_notifies;
	$select->can_read(60) or die "nobody told of what follows $cursor";
	return;
}

sub wait_for
{
	my ($who, $cursor) = @_;

	value($who, q{CALL store_wait_for_sequence(?, '1 min')}, $cursor + 1) > $cursor
	  or die "did not wait for what follows $cursor";
	return;
}

# Follow the log from a cursor, or from now on, and write down what comes.
sub follow
{
	my ($name, $filter, $cursor, $limits, @ways) = @_;
	my $who = session($node);
	my $passes = $filters{$filter}{passes};
	my $read = $who->prepare(
		"SELECT * FROM store_read_log(?, $filters{$filter}{sql}, $limits)");

	open my $out, '>', "$folder/$name" or die $!;
	$who->do('LISTEN storeengine');
	for (my $turn = 0;; $turn++)
	{
		$read->execute($cursor);
		my @rows = @{ $read->fetchall_arrayref };
		my $before = $cursor // -1;
		my $last = $before;

		$cursor = (pop @rows)->[0];
		for my $row (@rows)
		{
			my ($number, $op, $key, $value) = @$row;

			die "$number after $last" if $number < $last || $number <= $before || $number > $cursor;
			$last = $number;
			print $out $passes->($op, $key, $value // '')
			  ? join(' ', $number, $op, $key, $value // ()) . "\n" : "unwanted\n";
		}
		die "from $before to $cursor" if $cursor < $before;
		print $out "from $cursor\n" if $before < 0;
		last if -e "$folder/last" && $cursor >= slurp_file("$folder/last");
		while ($who->pg_notifies) { $before = -1 }
		$ways[ $turn % @ways ]->($who, $cursor) if $cursor == $before;
	}
	close $out or die $!;
	return;
}

# What a subscriber should have written down.
sub expected
{
	my ($seen, $filter, $from) = @_;
	my $passes = $filters{$filter}{passes};
	my @lines;

	for my $number ($from .. $seen->{current})
	{
		my $batch = $seen->{log}{$number};

		push @lines, map { "$number put $_->[0] $_->[1]\n" }
		  grep { $passes->('put', @$_) } @{ $batch->{puts} };
		push @lines, map { "$number delete $_\n" }
		  grep { $passes->('delete', $_) } @{ $batch->{deletes} };
	}
	return join '', @lines;
}

my @subscribers = fork_client(sub { follow('before', 'even', 0, '100', \&listen_for) });
my @writers = map { run_writer($_) } 1 .. 4;
wait_until('a third is written',
	sub { value($session, 'SELECT store_current_sequence()') > $batches / 3 });
push @subscribers,
  fork_client(sub { follow('joining', 'hot', 0, '1000, 100000', \&wait_for) }),
  fork_client(sub { follow('live', 'deletes', undef, '1000', \&listen_for, \&wait_for) });
is(wait_clients(@writers), 0, 'the writers end');
append_to_file("$folder/last", wait_complete($session));

# This wakes whoever sleeps; who reads it has read all before it.
value($session, q{SELECT store_put('last', 'cold')});
is(wait_clients(@subscribers), 0, 'the subscribers have read it all');
is(wait_clients(fork_client(sub { follow('after', 'even', 0, '333', \&wait_for) })),
	0, 'so has one that comes afterwards');

my $seen = snapshot($session);
cmp_ok($seen->{current}, '>', 0.98 * $batches, "$seen->{current} batches are in the log");
my %printed = map { $_ => slurp_file("$folder/$_") } qw(before joining live after);
my $unwanted = 0;
$unwanted += s/^unwanted\n//mg for values %printed;
my ($from) = $printed{live} =~ s/^from (\d+)\n// ? $1 : undef;

ok($printed{before} eq expected($seen, 'even', 1), 'before: nothing missing, doubled or out of order');
ok($printed{joining} eq expected($seen, 'hot', 1), 'joining: nothing missing, doubled or out of order');
ok($printed{live} eq expected($seen, 'deletes', $from + 1), 'live: nothing missing, doubled or out of order');
cmp_ok($from, '<', $seen->{current} - $batches / 10, 'which had a good part to come');
ok($printed{after} eq $printed{before}, 'after: the same as before');
is($unwanted, 0, 'nothing is sent that filters do not let through');
is(join("\n", problems($seen)), '', 'all is well');
is_deeply([ verify($session) ], [], 'store_verify() finds nothing');

done_testing();
