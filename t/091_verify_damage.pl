# store_verify() names damage that takes more than a transaction of its own: to
# what is stored in pieces, and numbers that nobody writes.  It can be cancelled
# at any time.

use strict;
use warnings;

use DBD::Pg ':async';
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use StoreTest;
use Test::More;
use Time::HiRes qw(time);

# The damage is to get past the checksums of pages, where there are any.
my $node = store_node('main', conf => "ignore_checksum_failure = on\n");
my $session = session($node);

# Put a value that is stored in pieces, and cannot be compressed.
sub put_large
{
	my ($key) = @_;

	return value($session,
		q{SELECT store_put(?, (SELECT string_agg(sha256(int4send(i)), '') FROM generate_series(1, 200) AS i))}, $key);
}

# What is found, as lines of check, number, key and detail.
sub findings
{
	my $rows = $session->selectall_arrayref(
		q{SELECT check_name, sequence_number, convert_from(key, 'UTF8'), detail
		  FROM store_verify() WHERE result NOT IN ('ok', 'failed')});

	return join "\n", map { join '|', map { $_ // '' } @$_ } @$rows;
}

# The file and the ID of the value that was last stored in pieces for a table.
sub last_in_pieces
{
	my ($table) = @_;
	my ($toast, $file) = $session->selectrow_array(
		q{SELECT reltoastrelid::regclass, pg_relation_filepath(reltoastrelid)
		  FROM pg_class WHERE oid = ?::regclass}, undef, $table);

	return [ $node->data_dir . "/$file", value($session, "SELECT max(chunk_id) FROM $toast") ];
}

# Overwrite bytes of a piece of such a value, at some bytes from its ID.
sub overwrite
{
	my ($place, $piece, $offset, $bytes) = @_;
	my ($file, $id) = @$place;
	my $content = slurp_file($file, 0, ':raw');
	my $found = index $content, pack 'LL', $id, $piece;

	cmp_ok($found, '>', 0, "piece $piece is in the file");
	substr($content, $found + $offset, length $bytes) = $bytes;
	open my $handle, '+<:raw', $file or die "could not open $file: $!";
	print $handle $content;
	close $handle or die "could not write $file: $!";
	return;
}

my %number;
my %place;

$number{$_} = put_large($_) for qw(first lost_log);
$place{lost_log} = last_in_pieces('store_batch_log');
$number{lost_kv} = put_large('lost_kv');
$place{lost_kv} = last_in_pieces('store_kv');
$number{changed_log} = put_large('changed_log');
$place{changed_log} = last_in_pieces('store_batch_log');
$number{changed_kv} = put_large('changed_kv');
$place{changed_kv} = last_in_pieces('store_kv');
$number{deletes} = value($session,
	q{SELECT store_delete_batch(array_agg(sha256(int4send(i)))) FROM generate_series(1, 1000) AS i});
$place{deletes} = last_in_pieces('store_batch_log');
$number{last} = put_large('last');
is(findings(), '', 'sound');

# Cancelled while it reads pieces, it does not take that for damage.
my $states = '';
for my $milliseconds (1 .. 15)
{
	$session->do("SET statement_timeout = $milliseconds");
	my $found = eval { findings() };
	$session->do('RESET statement_timeout');
	$states .= defined $found ? $found : $session->state eq '57014' ? '' : $session->state;
}
is($states, '', 'cancelled or sound');

$session->do('CHECKPOINT');
$session->disconnect;
$node->stop;
overwrite($place{$_}, 1, 4, pack 'L', 99) for qw(lost_log lost_kv deletes);
overwrite($place{$_}, 1, 100, 'changed') for qw(changed_log changed_kv);
$node->start;
$session = session($node);

my $lost = qr/unexpected chunk number 99 \(expected 1\) for toast value \d+ in pg_toast_\d+/;
is( findings() =~ s/$lost/lost/gr,
	join("\n",
		"payload|$number{lost_log}||The column payload cannot be read: lost.",
		"payload|$number{deletes}||The column deleted_keys cannot be read: lost.",
		'pairs||lost_kv|The value in the table cannot be read: lost.',
		"pairs|$number{changed_kv}|changed_kv|The value in the table is not the one that batch $number{changed_kv} put."
		  . " Batch $number{deletes}, which is missing or damaged, may have written it since.",
		"pairs|$number{changed_log}|changed_log|The value in the table is not the one that batch $number{changed_log} put."
		  . " Batch $number{deletes}, which is missing or damaged, may have written it since.",
		"pairs||lost_log|The key is in the table, but no batch wrote it."
		  . " Batch $number{deletes}, which is missing or damaged, may have written it since."),
	'pieces that are lost or changed');

# A store of 20 batches, where the worker cannot fill holes.
$session->do('DROP EXTENSION storeengine');
$session->do('CREATE EXTENSION storeengine');
$session->do(q{SELECT store_put(convert_to('key' || i, 'UTF8'), 'value') FROM generate_series(1, 20) AS i});
$session->do(q{CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused'; END $$});
$session->do(q{CREATE TRIGGER refuse BEFORE INSERT ON store_batch_log FOR EACH ROW
			   WHEN (new.payload = '') EXECUTE FUNCTION refuse()});

is(leave_hole($session), 21, 'a hole');

# Another batch is missing, of which only one that is not among the last tells.
$session->do('UPDATE store_batch_log SET stable = CASE sequence_number WHEN 12 THEN 11 ELSE 0 END');
$session->do('DELETE FROM store_batch_log WHERE sequence_number = 10');

# Whoever waits for the worker can be cancelled, and is told.
$session->do(q{SET statement_timeout = '200ms'});
is(failure($session, 'SELECT * FROM store_verify()'), '57014', 'cancelled while waiting');
$session->do('RESET statement_timeout');

# A store with a hole that the worker cannot come to look at, as a table is locked.
$session->do('CREATE DATABASE locked');
my ($holder, $locker, $verifier) = map { session($node, 'locked') } 1 .. 3;
$verifier->do('CREATE EXTENSION storeengine');
$holder->do('BEGIN');
$holder->do(q{SELECT store_put('undone', '')});
$verifier->do(q{SELECT store_put('done', '')});
$locker->do('BEGIN');
$locker->do('LOCK TABLE store_kv IN SHARE MODE', { pg_async => PG_ASYNC });
wait_until('the lock is waited for',
	sub { value($session, 'SELECT true FROM pg_locks WHERE pid = ? AND NOT granted', $locker->{pg_pid}) });
$holder->do('ROLLBACK');
$locker->pg_result;
my $skipped = $verifier->prepare(q{SELECT concat_ws('|', check_name, result, detail) FROM store_verify() WHERE result <> 'ok'},
	{ pg_async => PG_ASYNC });
$skipped->execute;

my $start = time;
my $notices = '';
my $found;
{
	local $SIG{__WARN__} = sub { $notices .= $_[0] };
	local $session->{PrintWarn} = 1;
	$found = findings();
}
my $time = time - $start;
is( $found,
	join("\n",
		'stamps|12||The batch says that the log is complete up to batch 11, but it is up to batch 9.',
		'pairs||key10|The key is in the table, but no batch wrote it.'
		  . ' Batch 21, which is missing or damaged, may have written it since.',
		map { "numbers|$_||The batch is missing, no writer holds its number, and the background worker does not fill it." }
		  10, 21),
	'numbers that nobody writes');
like($notices, qr/NOTICE:  waiting for the background worker to fill holes/, 'it tells what it is doing');
cmp_ok($time, '>=', 10, 'it waits for the worker');
$verifier->pg_result;
is(join("\n", map { $_->[0] } @{ $skipped->fetchall_arrayref }),
	'numbers|skipped|Numbers are missing above the current one, and the background worker has not come to look at them:'
	  . ' it is busy, or fails, or a table is locked.',
	'a worker that is kept away is no problem of the store');
$locker->do('COMMIT');
is(wait_complete($verifier), 2, 'it comes afterwards');
is_deeply([ verify($verifier) ], [], 'and then all is well');

# Once the worker can it fills them, and what the one was is lost.
$session->do('DROP TRIGGER refuse ON store_batch_log');
wait_complete($session);
is(findings(), 'pairs||key10|The key is in the table, but no batch wrote it.', 'what is left');

done_testing();
