"""The methods of the blocking client that read profiles, and the one that changes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from unify_client import profile_operations
from unify_client.blocking_calls import BlockingCalls
from unify_client.explanations import IdentityExplanation
from unify_client.names import ProfileNamed
from unify_client.profile_operations import ProfilePart
from unify_client.profiles import (
    DeletedExternalIds,
    Profile,
    ProfileEvent,
    ProfileExternalId,
    ProfileLink,
    Trait,
)
from unify_client.vocabulary import SortOrder, TraitClass


class BlockingProfiles(BlockingCalls):
    """What an access token can do with the profiles of its space."""

    def get_profile(
        self, name: ProfileNamed, *, parts: Iterable[ProfilePart] | None = None
    ) -> Profile:
        """Returns the profile that goes by a name, or only some parts of it.

        A name is a segment_id, `type:value`, or an Identifier. Raises ProfileNotFound.
        """
        return self._run(profile_operations.get_profile(name, parts))

    def list_traits(
        self,
        name: ProfileNamed,
        *,
        include: Iterable[str] = (),
        trait_class: TraitClass | None = None,
        verbose: bool = False,
        page_size: int | None = None,
    ) -> Iterator[Trait]:
        """Returns a profile's traits by name, those in `include` or all, page after page.

        With `verbose`, source, time and message id come along. So lists here are: what is
        returned asks for the next page when it is reached; without a `page_size`, pages are as
        large as the service allows.
        """
        return self._walk(
            profile_operations.list_traits(
                name,
                include=include,
                trait_class=trait_class,
                verbose=verbose,
                page_size=page_size,
            )
        )

    def list_external_ids(
        self, name: ProfileNamed, *, include: Iterable[str] = (), page_size: int | None = None
    ) -> Iterator[ProfileExternalId]:
        """Returns a profile's identifiers by priority, of the types in `include` or all."""
        return self._walk(
            profile_operations.list_external_ids(name, include=include, page_size=page_size)
        )

    def list_events(
        self,
        name: ProfileNamed,
        *,
        start_time: datetime | None = None,
        end_time: datetime | None = None,
        include: Iterable[str] = (),
        exclude: Iterable[str] = (),
        types: Iterable[str] = (),
        sort: SortOrder = SortOrder.DESCENDING,
        page_size: int | None = None,
    ) -> Iterator[ProfileEvent]:
        """Returns a profile's history strictly between two event times.

        `include` and `exclude` are names of events; `types` are kinds of calls, by default track,
        page and screen.
        """
        return self._walk(
            profile_operations.list_events(
                name,
                start_time=start_time,
                end_time=end_time,
                include=include,
                exclude=exclude,
                types=types,
                sort=sort,
                page_size=page_size,
            )
        )

    def batch_get_profiles(
        self, names: Iterable[ProfileNamed], *, parts: Iterable[ProfilePart] | None = None
    ) -> list[Profile]:
        """Returns up to 100 profiles at once, in the order asked for.

        Raises ProfileNotFound where one of them is absent.
        """
        return self._run(profile_operations.batch_get_profiles(names, parts))

    def list_profiles(
        self,
        collection: str = "users",
        *,
        identifier_prefix: ProfileNamed | None = None,
        trait: tuple[str, str] | None = None,
        parts: Iterable[ProfilePart] | None = None,
        page_size: int | None = None,
    ) -> Iterator[Profile]:
        """Returns the profiles of a collection, `users` or `accounts`, none of them twice.

        By the newest activity; or by an identifier's beginning, as `email:jane`; or by the name
        and value of a searchable trait.
        """
        return self._walk(
            profile_operations.list_profiles(
                collection,
                identifier_prefix=identifier_prefix,
                trait=trait,
                parts=parts,
                page_size=page_size,
            )
        )

    def list_links(
        self, name: ProfileNamed, *, page_size: int | None = None
    ) -> Iterator[ProfileLink]:
        """Returns the accounts of a person, or the people of an account, the oldest first."""
        return self._walk(profile_operations.list_links(name, page_size))

    def explain_identity(self, first: ProfileNamed, second: ProfileNamed) -> IdentityExplanation:
        """Returns why two names of one collection stand for one profile, or why they do not."""
        return self._run(profile_operations.explain_identity(first, second))

    def delete_external_ids(
        self,
        name: ProfileNamed,
        external_ids: Iterable[ProfileNamed],
        *,
        request_id: str | None = None,
    ) -> DeletedExternalIds:
        """Parts a profile from an identifier, exactly one; its events and traits stay.

        Texts in `external_ids` are `type:value` of the profile's collection. `request_id`, a UUID,
        makes a repetition by the caller harmless. Cannot be undone. Raises IdentifierNotDeletable
        or IdentifierNotFound.
        """
        return self._run(profile_operations.delete_external_ids(name, external_ids, request_id))
