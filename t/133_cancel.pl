# F4: a reader of the feed who is cancelled in the midst of a large batch stops there.
#
# Once it went on until the batch was through, which was a quarter of a minute for one
# of the most entries that a batch can have.  How far it went shows in the size of the
# file that the rows are put into, which the server logs when it removes it.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use StoreTest;
use Test::More;
use Time::HiRes 'time';

my $node = store_node('main', conf => "work_mem = 64kB\nlog_temp_files = 0\n");
my $session = session($node);
my $read = 'SELECT count(*) FROM store_read_log(0)';

# Read, with a limit in milliseconds: the SQLSTATE, and how large the file was.
sub read_log
{
	my ($limit) = @_;
	my $offset = -s $node->logfile;

	$session->do("SET statement_timeout = $limit");
	my $state = failure($session, $read);
	$session->do('SET statement_timeout = 0');
	my ($size) = slurp_file($node->logfile, $offset) =~ /temporary file: .*, size (\d+)/;
	return ($state, $size // 0);
}

$session->do(q{SELECT store_put_request(decode(repeat('0a00', 500000), 'hex'))});
wait_complete($session);
my $start = time;
my ($state, $whole) = read_log(0);
my $took = time - $start;
is($state, '', 'the batch can be read');
cmp_ok($whole, '>', 1_000_000, 'and its rows go through a file');

# A limit can be over before the first row, or after the last one: try some.
my $stopped = 0;
for my $try (1 .. 50)
{
	my ($cancelled, $size) = read_log(1 + int($took * 1000 * (0.2 + 0.6 * ($try % 10) / 10)));
	$stopped = $size if $cancelled eq '57014' && $size < $whole;
	last if $stopped;
}
cmp_ok($stopped, '>', 0, 'a reader that is cancelled stops where it is');
done_testing();
