# A writer whose transaction keeps one snapshot reads its own writes, once and
# only those, or cannot write: whatever has become of the key since.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use StoreTest;
use Test::More;

my $node = store_node('main');
my $writer = session($node);
my $other = session($node);

my %meanwhile = (
	'nothing happens' => [ 'SELECT 1' ],
	'it is put' => [ q{SELECT store_put('key', 'theirs')} ],
	'it is deleted' => [ q{SELECT store_delete_batch('{key}')} ],
	'it is deleted and put' => [ q{SELECT store_delete_batch('{key}')}, q{SELECT store_put('key', 'theirs')} ],
	'it is put and deleted' => [ q{SELECT store_put('key', 'theirs')}, q{SELECT store_delete_batch('{key}')} ]);
my %write = (
	put => q{SELECT store_put_batch('{another,key}', '{ours,ours}')},
	delete => q{SELECT store_delete_batch('{another,key}')});

# B10, C1
for my $isolation ('REPEATABLE READ', 'SERIALIZABLE')
{
	for my $before (sort values %write)
	{
		for my $event (sort keys %meanwhile)
		{
			for my $write (sort keys %write)
			{
				my $name = "$isolation, after $before, $event, $write";

				$other->do($before);
				$writer->do("BEGIN ISOLATION LEVEL $isolation; SELECT 1");
				$other->do($_) for @{ $meanwhile{$event} };
				my $state = failure($writer, $write{$write});
				if ($state eq '')
				{
					my $rows = $writer->selectall_arrayref(q{SELECT value FROM store_get_many('{key}')});

					is_deeply($rows, [ [ $write eq 'put' ? 'ours' : undef ] ], "$name: many");
					is(value($writer, q{SELECT store_get('key')}), $rows->[0][0], "$name: one");
					is(value($writer, q{SELECT count(*) FROM store_range_scan('key', 'key')}),
						$write eq 'put' ? 1 : 0, "$name: range");
					$writer->do('COMMIT');
				}
				else
				{
					is($state, '40001', "$name: refused");
					$writer->do('ROLLBACK');
				}
			}
		}
	}
}
wait_complete($other);
is(join("\n", problems(snapshot($other))), '', 'all is well');
is_deeply([ verify($other) ], [], 'store_verify() finds nothing');

done_testing();
